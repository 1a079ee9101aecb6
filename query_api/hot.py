"""Statistics that many ask for, kept as ready bytes for as long as the read models stand where they stood.

What is kept is never trusted by itself: the database is asked where the read models are, once for all who ask at that
moment, and an answer is given only if it was made there. So nobody reads less than was promised to them, in any
process, and the database is asked some hundred times a second however many read.

Where one process serves the database alone it knows what it promised, so it need not ask: it gives what it has as long
as that is no less, and makes the answers that are asked for anew in the background when the read models have moved, all
at one moment, so that none of them watermark more than the others have.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import asyncpg
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.reading import Snapshot, face_in_transaction
from query_api.today import QUARTER
from shared.http.app import PREFIX
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.generations import SERVED
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.background import background, wait_for
from shared.runtime.backoff import Backoff, retry_forever
from shared.runtime.database import FAILURES, Pool, Record, Role, connected, listen

logger = logging.getLogger(__name__)

PATHS: Final = f"{PREFIX}/users/achievements-stats/"
KEPT: Final = 256
"""Answers kept at the most, the latest: older ones are of places where the read models are no more."""
LONGEST_QUERY: Final = 64
NEVER_KEPT: Final = (b"min_position", b"cursor", b"as_of", b"known_at")

SERVER_ERRORS: Final = 500
"""Where the statuses of the server's errors begin."""
UNCHANGED_HEADERS: Final = frozenset({b"etag", b"read-position", b"link"})

# The rows of a partition may move before the Read-Position does, and a retried record moves rows and no position.
WHERE: Final = f"""
SELECT s.generation, p.progress, read_position(s.generation) AS position,
       (SELECT count(*) FROM quarantine q WHERE q.generation = s.generation AND NOT q.applied) AS aside
FROM ({SERVED}) AS s, LATERAL (
    SELECT sum(position)::bigint AS progress FROM progress WHERE generation = s.generation
) AS p
"""  # noqa: S608 - put together from constants
ASK_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.25
"""How often it is asked without a notification."""
PAUSE_SECONDS: Final = 0.02
"""Between two times that answers are made in the background, unless somebody was promised more than they have."""
ROUND_LIMIT: Final = 16
"""Answers that are made in the background at a time; others are made when they are asked for."""


class Place(NamedTuple):
    """Where the read models are: the generation that is served, how far its partitions are, and what is put aside.

    While the place is the same, the rows are. `position` is the Read-Position.
    """

    generation: int
    progress: int
    position: int
    aside: int


class Whereabouts:
    """Asks where the read models are, once for all who want to know. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connected = False
        self._asked: list[asyncio.Future[Place]] = []
        self._waiting: list[asyncio.Future[Place]] = []
        self._poke = asyncio.Event()
        self._backoff = Backoff()

    async def now(self) -> Place:
        """Return where they are, asked after this call. Raises ConnectionError while that cannot be asked."""
        if not self.connected:
            raise ConnectionError("there is no connection to ask on")
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._poke.set()
        return await future

    async def run(self) -> None:
        """Answer for ever, over a new connection after every failure."""
        await retry_forever(self._poll, FAILURES, self._on_failure, self._backoff)

    def _on_failure(self, error: Exception) -> None:
        logger.debug("where the read models are is not known: %s", error)

    async def _poll(self) -> None:
        async with connected(self._url, Role.QUERY, command_timeout=ASK_SECONDS) as connection:
            try:
                question = await connection.prepare(WHERE)
                self.connected = True
                while True:
                    await self._poke.wait()
                    self._poke.clear()
                    self._asked, self._waiting = self._waiting, []
                    place = _place(await question.fetchrow())
                    self._backoff.reset()
                    for future in self._asked:
                        if not future.done():
                            future.set_result(place)
            finally:
                self.connected = False
                self._fail()

    def _fail(self) -> None:
        for future in (*self._asked, *self._waiting):
            if not future.done():
                future.set_exception(ConnectionError("the connection to ask on was lost"))
        self._asked, self._waiting = [], []


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response as it was made, and the route that made it; only one of 200 has an ETag and a position."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    etag: bytes | None
    position: int
    route: object


Question = tuple[str, bytes]
"""Path and query."""
Key = tuple[Question, int, Place]
"""What was asked, the quarter of an hour, and where the read models were before the answer was made."""


class HotAnswers:
    """What is kept, and how it is made. Run `run()` as a task; it ends when cancelled.

    With `watermark`, this process is the only one that gives any.
    """

    def __init__(self, url: str, pool: Pool, watermark: VisibilityWatermark | None) -> None:
        self._url, self._pool, self._watermark = url, pool, watermark
        self._whereabouts = Whereabouts(url)
        self._kept: OrderedDict[Key, _Answer] = OrderedDict()
        self._making: dict[Key, asyncio.Task[_Answer]] = {}
        self._asked: dict[Question, tuple[ASGIApp, Scope]] = {}
        self._settled: Place | None = None
        self._outdone = asyncio.Event()

    async def answer(self, app: ASGIApp, scope: Scope) -> _Answer:
        """Return the answer to a request. Raises ConnectionError while it is not known where the read models are."""
        question = scope["path"], scope["query_string"]
        place = self._at_hand() or await self._whereabouts.now()
        key = question, _quarter(), place
        found = self._kept.get(key) or await self._made(key, app, scope)
        if self._watermark is not None:
            self._watermark.raise_to(found.position)
            if found.etag is not None and (question in self._asked or len(self._asked) < ROUND_LIMIT):
                self._asked[question] = app, scope
        return found

    async def run(self) -> None:
        """Ask and, where this process is alone, keep up with the read models, until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            if self._watermark is not None:
                await stack.enter_async_context(background(self._keep_up()))
            await self._whereabouts.run()

    def _at_hand(self) -> Place | None:
        """Return the place whose answers are ready, unless somebody was promised more."""
        settled = self._settled
        if self._watermark is None or settled is None or not self._whereabouts.connected:
            return None
        if settled.position >= self._watermark.position:
            return settled
        self._outdone.set()
        return None

    async def _keep_up(self) -> None:
        moved = asyncio.Event()
        async with background(listen(self._url, Role.QUERY, PROJECTED_CHANNEL, moved.set)):
            while True:
                await wait_for(moved, POLL_SECONDS)
                moved.clear()
                self._outdone.clear()
                try:
                    await self._settle()
                except FAILURES as error:
                    logger.debug("statistics are not made in the background: %s", error)
                    self._settled = None
                except Exception:
                    logger.exception("statistics could not be made in the background")
                    self._settled = None
                await wait_for(self._outdone, PAUSE_SECONDS)

    async def _settle(self) -> None:
        """Make what was asked for since this was done last, and only then give it instead of what there was."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            place = _place(await connection.fetchrow(WHERE))
            if place == self._settled:
                return
            await face_in_transaction(connection, place.generation)
            snapshot = Snapshot(connection)
            asked, self._asked = self._asked, {}
            for question, (app, scope) in asked.items():
                queries = replace(scope["app"].state.queries, reader=snapshot)
                made = await _answered(app, {**scope, "queries": queries})
                if made.status >= SERVER_ERRORS:
                    # Nothing else can be asked in a transaction that has failed.
                    raise asyncpg.InterfaceError(f"a statistic was answered {made.status}")
                self._keep((question, _quarter(), place), made)
        self._settled = place

    async def _made(self, key: Key, app: ASGIApp, scope: Scope) -> _Answer:
        """Have the application answer, once for all who ask for the same at the same place."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, app, scope))
        return await asyncio.shield(task)

    async def _make(self, key: Key, app: ASGIApp, scope: Scope) -> _Answer:
        try:
            made = await _answered(app, scope)
        finally:
            del self._making[key]
        self._keep(key, made)
        return made

    def _keep(self, key: Key, made: _Answer) -> None:
        if made.etag is not None:
            self._kept[key] = made
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)


@contextlib.asynccontextmanager
async def hot_answers(
    url: str, pool: Pool, watermark: VisibilityWatermark | None
) -> AsyncIterator[tuple[HotAnswers, asyncio.Task[None]]]:
    """Run HotAnswers for as long as the context lasts; yield it with its task."""
    hot = HotAnswers(url, pool, watermark)
    async with background(hot.run()) as task:
        yield hot, task


class HotReads:
    """Gives the answers that are kept, or has the application answer; stands right behind the edge."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not scope["path"].startswith(PATHS) or not _may_be_kept(scope):
            await self._app(scope, receive, send)
            return
        try:
            found = await scope["app"].state.queries.hot.answer(self._app, scope)
        except ConnectionError:
            await self._app(scope, receive, send)
            return
        scope["route"] = found.route
        await _send(found, scope, send)


def _place(row: Record | None) -> Place:
    if row is None:
        raise asyncpg.InterfaceError("there is no generation that could be served")
    return Place(*row)


def _quarter() -> int:
    return int(time.time()) // QUARTER


async def _answered(app: ASGIApp, scope: Scope) -> _Answer:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    asked = {**scope, "headers": []}
    try:
        await app(asked, receive, send)
    except Exception:
        # By then the application has answered 500, which is for everybody who waits for this.
        if not messages or messages[0]["status"] < SERVER_ERRORS:
            raise
        logger.exception("a statistic could not be answered")
    start, *bodies = messages
    body = b"".join(message.get("body", b"") for message in bodies)
    headers, etag, position = list(start["headers"]), None, 0
    if start["status"] == 200:  # noqa: PLR2004 - what is wrong is not kept
        given = dict(headers)
        position = int(given[b"read-position"])
        # Whether a page follows belongs to the answer.
        named = body + given.get(b"link", b"")
        etag = b'"' + hashlib.blake2b(named, digest_size=12).hexdigest().encode() + b'"'
        headers.append((b"etag", etag))
    return _Answer(start["status"], headers, body, etag, position, asked.get("route"))


def _may_be_kept(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    if scope["method"] != "GET" or len(query) > LONGEST_QUERY:
        return False
    # A name could be written in another way with it.
    return b"%" not in query and not any(name in query for name in NEVER_KEPT)


async def _send(found: _Answer, scope: Scope, send: Send) -> None:
    status, headers, body = found.status, found.headers, found.body
    for name, value in scope["headers"]:
        if name == b"if-none-match" and found.etag is not None and (value.strip() == b"*" or found.etag in value):
            status, body = 304, b""
            headers = [header for header in found.headers if header[0] in UNCHANGED_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
