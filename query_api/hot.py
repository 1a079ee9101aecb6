"""Statistics that many ask for, kept as ready bytes for as long as the read models stand where they stood.

What is kept is never trusted by itself: the database is asked where the read models are, once for all who ask at that
moment, and an answer is given only if it is not older. So nobody reads less than was promised to them, in any process,
and the database is asked some hundred times a second however many read.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.read_models import SERVED
from shared.runtime.background import background
from shared.runtime.database import FAILURES, UNREACHABLE, Backoff, OwnConnection, Role, connect
from shared.runtime.http import PREFIX

logger = logging.getLogger(__name__)

PATHS: Final = f"{PREFIX}/users/achievements-stats/"
KEPT: Final = 256
"""Answers kept at the most; which is asked for least recently goes first."""
LONGEST_QUERY: Final = 64
NEVER_KEPT: Final = (b"min_position", b"cursor", b"as_of", b"known_at")
QUARTER: Final = 15 * 60
"""Seconds after which a streak may have ended without an event: days begin at whole quarters of an hour."""

UNCHANGED_HEADERS: Final = frozenset({b"etag", b"read-position"})

WHERE: Final = f"""
SELECT s.generation, read_position(s.generation) AS position FROM ({SERVED}) AS s
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Place:
    """Where the read models are: the generation that is served, and up to where it is complete."""

    generation: int
    position: int


class Whereabouts:
    """Asks where the read models are, once for all who want to know. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connected = False
        self._asked: list[asyncio.Future[Place]] = []
        self._waiting: list[asyncio.Future[Place]] = []
        self._poke = asyncio.Event()

    async def now(self) -> Place:
        """Return where they are, asked after this call. Raises ConnectionError while that cannot be asked."""
        if not self._connected:
            raise ConnectionError("there is no connection to ask on")
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._poke.set()
        return await future

    async def run(self) -> None:
        """Answer for ever, over a new connection after every failure."""
        backoff = Backoff()
        while True:
            try:
                connection = await connect(self._url, Role.QUERY)
                try:
                    await self._answer(connection, backoff)
                finally:
                    self._connected = False
                    self._fail()
                    connection.terminate()
            except FAILURES as error:
                logger.debug("where the read models are is not known: %s", error)
            await backoff.sleep()

    async def _answer(self, connection: OwnConnection, backoff: Backoff) -> None:
        question = await connection.prepare(WHERE)
        self._connected = True
        while True:
            await self._poke.wait()
            self._poke.clear()
            self._asked, self._waiting = self._waiting, []
            row = await question.fetchrow()
            if row is None:
                raise asyncpg.InterfaceError("there is no generation that could be served")
            backoff.reset()
            place = Place(row["generation"], row["position"])
            for future in self._asked:
                if not future.done():
                    future.set_result(place)

    def _fail(self) -> None:
        for future in (*self._asked, *self._waiting):
            if not future.done():
                future.set_exception(ConnectionError("the connection to ask on was lost"))
        self._asked, self._waiting = [], []


@contextlib.asynccontextmanager
async def whereabouts(url: str) -> AsyncIterator[tuple[Whereabouts, asyncio.Task[None]]]:
    """Run a Whereabouts for as long as the context lasts; yield it with its task."""
    found = Whereabouts(url)
    async with background(found.run()) as task:
        yield found, task


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response of 200 as it was made, where the read models were then, and the route that made it."""

    position: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    etag: bytes
    route: object


Key = tuple[str, bytes, int, int]
"""Path, query, generation, and the quarter of an hour."""


class HotReads:
    """Answers from what is kept where it can, and keeps what the application answers; stands right behind the edge."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: OrderedDict[Key, _Answer] = OrderedDict()
        self._making: dict[Key, asyncio.Task[_Answer | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS) or not _may_be_kept(scope):
            await self._app(scope, receive, send)
            return
        found = await self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = found.route
        await _send(found, scope, send)

    async def _find(self, scope: Scope) -> _Answer | None:
        """Return an answer as fresh as this request, None if the application has to say what is wrong."""
        try:
            place = await scope["app"].state.queries.whereabouts.now()
        except UNREACHABLE:
            return None
        key = (scope["path"], scope["query_string"], place.generation, int(time.time()) // QUARTER)
        kept = self._kept.get(key)
        if kept is None or kept.position < place.position:
            return await self._renewed(key, scope, place.position)
        self._kept.move_to_end(key)
        return kept

    async def _renewed(self, key: Key, scope: Scope, wanted: int) -> _Answer | None:
        """Have the application answer, once for all who wait; what it began before `wanted` was reached may not do."""
        while True:
            task = self._making.get(key)
            own = task is None
            if task is None:
                task = self._making[key] = asyncio.create_task(self._make(key, scope))
            made = await asyncio.shield(task)
            if own or made is None or made.position >= wanted:
                break
        if made is not None:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    async def _make(self, key: Key, scope: Scope) -> _Answer | None:
        try:
            return await self._made(scope)
        finally:
            # Before the task is done: nobody may wait for one that was.
            del self._making[key]

    async def _made(self, scope: Scope) -> _Answer | None:
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        asked = {**scope, "headers": []}
        await self._app(asked, receive, send)
        start, *bodies = messages
        if start["status"] != 200:  # noqa: PLR2004 - what is wrong is answered by whoever knows it
            return None
        body = b"".join(message.get("body", b"") for message in bodies)
        etag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
        headers = [*start["headers"], (b"etag", etag)]
        return _Answer(int(dict(headers)[b"read-position"]), headers, body, etag, asked.get("route"))


def _may_be_kept(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    return scope["method"] == "GET" and len(query) <= LONGEST_QUERY and not any(name in query for name in NEVER_KEPT)


async def _send(found: _Answer, scope: Scope, send: Send) -> None:
    status, headers, body = 200, found.headers, found.body
    for name, value in scope["headers"]:
        if name == b"if-none-match" and (value.strip() == b"*" or found.etag in value):
            status, body = 304, b""
            headers = [header for header in found.headers if header[0] in UNCHANGED_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
