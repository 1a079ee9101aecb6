"""The response cache: a response is given only at the version of the read models that it was made at."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from query_api import response_cache as cached
from query_api.answering import Queries, not_found, respond
from query_api.reader import PoolReader
from query_api.response_cache import ResponseCache, response_cache
from query_api.sessions import open_reading_pool
from shared.domain.errors import NoAwards
from shared.http.errors import HANDLERS
from shared.http.routing import Routes
from shared.read_models.visibility import VisibilityWatermark, following
from shared.runtime.database import Role
from tests.support import projected_log
from tests.support.histories import create, history_of, recorded
from tests.support.projected_log import PARTITIONS, ProjectedLog
from tests.support.synchronously import synchronously

SECONDS = 30.0
HISTORY = history_of([create(number, "en", "UTC") for number in (1, 2, 3)])
USERS = "SELECT count(*) AS users FROM users"
PATH = "/api/v1/users"


@dataclass(frozen=True)
class CountingQueries(Queries):
    """Counts how often each query string is answered, and holds answers up until `go_on`."""

    calls: Counter[str] = field(default_factory=Counter)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


READS = Routes[Queries]("/users", tag="test")


@READS.get("")
async def count_users(queries: Queries, request: Request) -> Response:
    """Count the users that are projected."""
    assert isinstance(queries, CountingQueries)
    queries.calls[request.url.query] += 1
    await queries.go_on.wait()
    reading = await queries.reader.read(USERS)
    if request.url.query == "none":
        raise not_found(reading, NoAwards("There is nothing."))
    return respond(reading, reading.rows[0]["users"])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database for this file."""
    with projected_log.projected_log(tmp_path_factory.mktemp("responses")) as opened:
        yield opened


@dataclass(frozen=True)
class Served:
    """A cache at work, a client of it, and what is behind it."""

    cache: ResponseCache
    client: httpx.AsyncClient
    queries: CountingQueries
    watermark: VisibilityWatermark

    async def get(self, query: str = "", **headers: str) -> httpx.Response:
        """Ask for the number of users."""
        return await self.client.get(f"{PATH}?{query}" if query else PATH, headers=headers)

    async def settled(self, query: str, users: int) -> None:
        """Ask until the response is of so many users."""
        while (await self.get(query)).json() != users:  # noqa: ASYNC110 - a deadline stands around it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(log: ProjectedLog, *, alone: bool = False, upto: int = 2) -> AsyncIterator[Served]:
    """Project the log up to a position, and serve the read above; `alone` if no other process serves it."""
    await log.restart(recorded(HISTORY, PARTITIONS))
    await log.project(log.from_log(upto))
    watermark = VisibilityWatermark()
    async with (
        asyncio.timeout(SECONDS),
        open_reading_pool(log.url, size=5) as pool,
        following(log.url, Role.QUERY, pool, watermark) as (visibility, _),
    ):
        queries = CountingQueries(PoolReader(pool, watermark), visibility, pool, frozenset())
        queries.go_on.set()
        app = FastAPI()
        app.router.routes.extend(READS.bound_to(queries))
        for error, handler in HANDLERS.items():
            app.add_exception_handler(error, handler)
        only = watermark if alone else None
        async with response_cache(log.url, pool, queries, READS, only) as (cache, _):
            while not cache._poller.connected:  # noqa: ASYNC110 - a deadline stands around it
                await asyncio.sleep(0.01)
            middleware = cache.middleware(app)

            async def edge(scope: Scope, receive: Receive, send: Send) -> None:
                await middleware({**scope, "app": app}, receive, send)

            async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as client:
                yield Served(cache, client, queries, watermark)


def test_a_response_is_made_once_a_version(log: ProjectedLog) -> None:
    """While the read models stay, the response does; once they change, no client gets the old one."""

    async def work() -> list[tuple[int, str, int]]:
        async with serving(log) as served:
            seen = []
            for upto in (None, None, 4, None):
                if upto:
                    await log.project(log.from_log(upto))
                response = await served.get()
                seen.append((response.json(), response.headers["read-position"], served.queries.calls[""]))
            return seen

    assert [(1, "2", 1), (1, "2", 1), (3, "4", 2), (3, "4", 2)] == synchronously(work())


def test_clients_of_one_moment_share_the_work(log: ProjectedLog) -> None:
    """However many ask for the same at once, one response is made, and all get it."""

    async def work() -> tuple[set[bytes], Counter[str]]:
        async with serving(log) as served:
            served.queries.go_on.clear()
            asking = [asyncio.create_task(served.get()) for _ in range(20)]
            while not served.queries.calls:  # noqa: ASYNC110 - a deadline stands around it
                await asyncio.sleep(0.01)
            served.queries.go_on.set()
            return {response.content for response in await asyncio.gather(*asking)}, served.queries.calls

    bodies, calls = synchronously(work())
    assert ({b"1"}, {"": 1}) == (bodies, calls)


def test_who_leaves_does_not_end_the_work(log: ProjectedLog) -> None:
    """The request that began the work may be cancelled; those who wait with it still get the response."""

    async def work() -> tuple[int, int]:
        async with serving(log) as served:
            served.queries.go_on.clear()
            first, second = (asyncio.create_task(served.get()) for _ in range(2))
            while not served.queries.calls:  # noqa: ASYNC110 - a deadline stands around it
                await asyncio.sleep(0.01)
            first.cancel()
            served.queries.go_on.set()
            return (await second).json(), served.queries.calls[""]

    assert (1, 1) == synchronously(work())


@pytest.mark.parametrize("known", ["{etag}", 'W/{etag}, "other"', "*"])
def test_a_known_response_is_304(log: ProjectedLog, known: str) -> None:
    """A client that names the response's ETag gets no body; another ETag, the whole response."""

    async def work() -> list[tuple[int, bytes, bool]]:
        async with serving(log) as served:
            first = await served.get()
            etag = first.headers["etag"]
            found = [await served.get(**{"If-None-Match": name.format(etag=etag)}) for name in (known, '"other"')]
            return [(one.status_code, one.content, one.headers["etag"] == etag) for one in found]

    assert [(304, b"", True), (200, b"1", True)] == synchronously(work())


def test_only_what_was_found_is_cached(log: ProjectedLog) -> None:
    """A problem has no ETag, and is made for each request."""

    async def work() -> tuple[list[int], bool, int, int]:
        async with serving(log) as served:
            found = [await served.get("none") for _ in range(2)]
            has_etag = any("etag" in one.headers for one in found)
            return [one.status_code for one in found], has_etag, served.queries.calls["none"], len(served.cache._cached)

    assert ([404, 404], False, 2, 0) == synchronously(work())


@pytest.mark.parametrize("query", ["min_position=1", "as_of=x", "a=%20", "a=" + "b" * 64])
def test_what_few_clients_ask_for_is_not_cached(log: ProjectedLog, query: str) -> None:
    """A read of a moment, an escaped or a long query goes past the cache."""

    async def work() -> tuple[int, int]:
        async with serving(log) as served:
            for _ in range(2):
                await served.get(query)
            return sum(served.queries.calls.values()), len(served.cache._cached)

    assert (2, 0) == synchronously(work())


def test_the_cache_is_bounded(log: ProjectedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest responses go when there are as many as there may be; the latest are there."""
    monkeypatch.setattr(cached, "CAPACITY", 3)

    async def work() -> tuple[int, int]:
        async with serving(log) as served:
            for number in [*range(10), 9, 8, 7]:
                await served.get(f"n={number}")
            return len(served.cache._cached), sum(served.queries.calls.values())

    assert (3, 10) == synchronously(work())


def test_without_a_version_nothing_is_given_from_the_cache(log: ProjectedLog) -> None:
    """While the database cannot be asked for the version, requests go to the application."""

    async def work() -> tuple[int, bool]:
        async with serving(log) as served:
            await served.get()
            served.cache._poller.connected = False
            response = await served.get()
            return served.queries.calls[""], "etag" in response.headers

    assert (2, False) == synchronously(work())


def test_alone_it_refreshes_in_the_background(log: ProjectedLog) -> None:
    """What was asked for is made for a new version before it is asked for again, in one snapshot."""

    async def work() -> tuple[int, int]:
        async with serving(log, alone=True) as served:
            await served.settled("", 1)
            await log.project(log.from_log(4))
            await served.settled("", 3)
            before = served.queries.calls[""]
            await served.get()
            return served.queries.calls[""] - before, served.watermark.position

    assert (0, 4) == synchronously(work())


def test_alone_it_gives_no_less_than_any_client_was_told(log: ProjectedLog) -> None:
    """Once another read told of a later position, the cache asks for the version again."""

    async def work() -> tuple[int, str]:
        async with serving(log, alone=True) as served:
            await served.settled("", 1)
            await log.project(log.from_log(4))
            served.watermark.raise_to(4)
            response = await served.get()
            return response.json(), response.headers["read-position"]

    assert (3, "4") == synchronously(work())
