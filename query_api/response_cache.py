"""The response cache: responses of statistics, keyed by the version of the read models.

A response is never trusted by itself: the database is asked for the version, once for all requests of that moment, and
a response is given only if it was made at that version. So no client reads less than any client was told is visible, in
any process, and the database is asked some hundred times a second however many clients read.

Where one process serves the database alone, its watermark says what clients were told, so it need not ask: it gives
what it has as long as that is no less, and refreshes in the background what was asked for, all in one snapshot, so that
no response raises the watermark above the others.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.answering import Queries
from query_api.parameters import NEVER_CACHED
from query_api.reader import Snapshot
from query_api.sessions import snapshot, use_generation_in_snapshot
from query_api.today import QUARTER
from query_api.versions import ReadModelVersion, VersionPoller, current_version
from shared.http.problems import Problem
from shared.http.routing import Declared, Routes
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.background import background, wait_for
from shared.runtime.database import FAILURES, ReadPool, Role, listen

logger = logging.getLogger(__name__)

CAPACITY: Final = 256
"""Responses that are cached at the most, the latest: older ones are of versions that are past."""
LONGEST_QUERY: Final = 64
UNCACHED: Final = tuple(parameter.name.encode() for parameter in NEVER_CACHED)
SERVER_ERRORS: Final = 500
"""Where the statuses of the server's errors begin."""
NOT_MODIFIED_HEADERS: Final = frozenset({b"etag", b"read-position", b"link"})
POLL_SECONDS: Final = 0.25
"""How often the background looks for a new version without a notification."""
PAUSE_SECONDS: Final = 0.02
"""Between two refreshes in the background, unless a client was told of more than they have."""
REFRESH_LIMIT: Final = 16
"""Responses that are refreshed in the background at a time; others are made when they are asked for."""

Headers = Sequence[tuple[bytes, bytes]]
Target = tuple[str, bytes]
"""Path and query."""
Key = tuple[Target, int, ReadModelVersion]
"""What was asked, the quarter of an hour, and the version before the response was made."""


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A response; one that may be cached has an ETag, and the Read-Position of its header."""

    status: int
    headers: Headers
    body: bytes
    etag: bytes | None = None
    position: int = 0

    @classmethod
    def of(cls, status: int, headers: Headers, body: bytes) -> "CachedResponse":
        """Return a response, with an ETag if it is one of 200."""
        if status != 200:  # noqa: PLR2004 - a status of HTTP
            return cls(status, headers, body)
        given = dict(headers)
        # Whether a page follows belongs to the response.
        digest = hashlib.blake2b(body + given.get(b"link", b""), digest_size=12).hexdigest()
        etag = b'"' + digest.encode() + b'"'
        return cls(status, [*headers, (b"etag", etag)], body, etag, int(given[b"read-position"]))


class ResponseCache:
    """Caches the responses of some reads. Run `run()` as a task; it ends when cancelled.

    With `watermark`, this process is the only one that serves the database.
    """

    def __init__(
        self, url: str, pool: ReadPool, queries: Queries, reads: Routes[Queries], watermark: VisibilityWatermark | None
    ) -> None:
        self._url, self._pool, self._queries, self._watermark = url, pool, queries, watermark
        self._reads: Mapping[str, Declared] = {read.path: read for read in reads.declared}
        self._poller = VersionPoller(url)
        self._cached: OrderedDict[Key, CachedResponse] = OrderedDict()
        self._making: dict[Key, asyncio.Task[CachedResponse]] = {}
        self._asked: set[Target] = set()
        self._refreshed: ReadModelVersion | None = None
        self._outdated = asyncio.Event()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the cache before it; it stands right behind the edge."""

        async def cached(scope: Scope, receive: Receive, send: Send) -> None:
            read = self._reads.get(scope["path"])
            if read is None or not _may_be_cached(scope):
                await app(scope, receive, send)
                return
            try:
                found = await self.response(app, scope)
            except ConnectionError:
                await app(scope, receive, send)
                return
            scope["route"] = read
            await _send(found, scope, send)

        return cached

    async def response(self, app: ASGIApp, scope: Scope) -> CachedResponse:
        """Return the response to a request. Raises ConnectionError while the version is not known."""
        target = scope["path"], scope["query_string"]
        version = self._refreshed_version() or await self._poller.current()
        key = target, _quarter(), version
        found = self._cached.get(key) or await self._made(key, app, scope)
        if self._watermark is not None:
            self._watermark.raise_to(found.position)
            if found.etag is not None and len(self._asked) < REFRESH_LIMIT:
                self._asked.add(target)
        return found

    async def run(self) -> None:
        """Poll the version and, where this process is alone, refresh in the background, until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            if self._watermark is not None:
                await stack.enter_async_context(background(self._keep_fresh()))
            await self._poller.run()

    def _refreshed_version(self) -> ReadModelVersion | None:
        """Return the version whose responses are ready, unless a client was told of more."""
        refreshed = self._refreshed
        if self._watermark is None or refreshed is None or not self._poller.connected:
            return None
        if refreshed.position >= self._watermark.position:
            return refreshed
        self._outdated.set()
        return None

    async def _keep_fresh(self) -> None:
        projected = asyncio.Event()
        async with background(listen(self._url, Role.QUERY, PROJECTED_CHANNEL, projected.set)):
            while True:
                await wait_for(projected, POLL_SECONDS)
                projected.clear()
                self._outdated.clear()
                try:
                    await self._refresh()
                except FAILURES as error:
                    logger.debug("statistics are not refreshed in the background: %s", error)
                    self._refreshed = None
                except Exception:
                    logger.exception("statistics could not be refreshed in the background")
                    self._refreshed = None
                await wait_for(self._outdated, PAUSE_SECONDS)

    async def _refresh(self) -> None:
        """Make what was asked for since the last refresh, and only then give it instead of what there was."""
        async with snapshot(self._pool) as connection:
            version = await current_version(connection)
            if version == self._refreshed:
                return
            await use_generation_in_snapshot(connection, version.generation)
            queries = replace(self._queries, reader=Snapshot(connection, version.generation))
            asked, self._asked = self._asked, set()
            for target in asked:
                # A statistic that is empty by now is not cached.
                with contextlib.suppress(Problem):
                    self._keep((target, _quarter(), version), await self._answer(queries, target))
        self._refreshed = version

    async def _answer(self, queries: Queries, target: Target) -> CachedResponse:
        path, query = target
        request = Request({"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []})
        response = await self._reads[path].function(queries, request)
        return CachedResponse.of(response.status_code, response.raw_headers, bytes(response.body))

    async def _made(self, key: Key, app: ASGIApp, scope: Scope) -> CachedResponse:
        """Have the application answer, once for all who ask for the same at the same version."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, app, scope))
        return await asyncio.shield(task)

    async def _make(self, key: Key, app: ASGIApp, scope: Scope) -> CachedResponse:
        try:
            made = await _answered(app, scope)
        finally:
            del self._making[key]
        self._keep(key, made)
        return made

    def _keep(self, key: Key, made: CachedResponse) -> None:
        if made.etag is not None:
            self._cached[key] = made
            if len(self._cached) > CAPACITY:
                self._cached.popitem(last=False)


@contextlib.asynccontextmanager
async def response_cache(
    url: str, pool: ReadPool, queries: Queries, reads: Routes[Queries], watermark: VisibilityWatermark | None
) -> AsyncIterator[tuple[ResponseCache, asyncio.Task[None]]]:
    """Run a ResponseCache for as long as the context lasts; yield it with its task."""
    made = ResponseCache(url, pool, queries, reads, watermark)
    async with background(made.run()) as task:
        yield made, task


def _quarter() -> int:
    return int(time.time()) // QUARTER


async def _answered(app: ASGIApp, scope: Scope) -> CachedResponse:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    try:
        await app({**scope, "headers": []}, receive, send)
    except Exception:
        # By then the application has answered 500, which is for all who wait for this.
        if not messages or messages[0]["status"] < SERVER_ERRORS:
            raise
        logger.exception("a statistic could not be answered")
    start, *bodies = messages
    body = b"".join(message.get("body", b"") for message in bodies)
    return CachedResponse.of(start["status"], start["headers"], body)


def _may_be_cached(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    if scope["method"] != "GET" or len(query) > LONGEST_QUERY:
        return False
    # With an escape, a name could be written in another way.
    return b"%" not in query and not any(name in query for name in UNCACHED)


async def _send(found: CachedResponse, scope: Scope, send: Send) -> None:
    status, headers, body = found.status, found.headers, found.body
    for name, value in scope["headers"]:
        if name == b"if-none-match" and found.etag is not None and (value.strip() == b"*" or found.etag in value):
            status, body = 304, b""
            headers = [header for header in found.headers if header[0] in NOT_MODIFIED_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
