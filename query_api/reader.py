"""How a question is asked: in one snapshot, so that rows, generation and Read-Position belong together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol, cast

import asyncpg

from query_api.lookups import BatchedLookups, Lookup
from query_api.queries import response
from query_api.sessions import Session, snapshot, use_generation_in_snapshot
from shared.event_store.log import read_position
from shared.http.problems import Problem, unavailable
from shared.read_models.generations import served_generation
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import ReadPool, ReadSession, Record
from shared.runtime.sql import sql

ATTEMPTS: Final = 3
DROPPED: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.DeadlockDetectedError)
"""The generation was dropped, or is being dropped, after another had taken its place."""
UNSTEADY: Final = "the served generation changed with every attempt"
RECOMPUTATIONS: Final = 2
"""How many may run at a time in one process, so that they leave connections and processors to other reads."""
RECOMPUTE_SECONDS: Final = 10
ONCE: Final = "(SELECT 1 AS number) AS asked"


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of a result, and the position up to which they are complete."""

    rows: Sequence[Record]
    position: int


class Reader(Protocol):
    """Asks the read models."""

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query. Raises a database error."""

    async def look_up(self, lookup: Lookup, *arguments: Any, shared: Sequence[Any] = ()) -> Reading:  # noqa: ANN401 - the same
        """Return the result of a lookup that may be batched; `shared` is what all have in common at one time.

        Raises a database error, be it for another lookup of the same batch.
        """

    async def recompute(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query that looks at many rows. Raises a 503 Problem or a database error."""


class PoolReader:
    """Reads the generation that is served, over a pool of `Session`."""

    def __init__(
        self, pool: ReadPool, watermark: VisibilityWatermark, recompute_seconds: float = RECOMPUTE_SECONDS
    ) -> None:
        self._pool, self._watermark = pool, watermark
        self._generation = 0
        self._lookups = BatchedLookups(self._ask)
        self._recompute_seconds = recompute_seconds
        self._recomputing = asyncio.Semaphore(RECOMPUTATIONS)

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query. Raises a database error."""
        return self._told(_found(await self._ask(_asked_once(query), arguments)))

    async def look_up(self, lookup: Lookup, *arguments: Any, shared: Sequence[Any] = ()) -> Reading:  # noqa: ANN401 - the same
        """Return the result of a lookup, which is batched with those that wait meanwhile. Raises a database error."""
        return self._told(_found(await self._lookups.look_up(lookup, arguments, shared)))

    async def recompute(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query that looks at many rows.

        Raises a 503 Problem when it is not there in time, waiting for its turn included, or a database error.
        """
        ends = asyncio.get_running_loop().time() + self._recompute_seconds
        async with self._turn(ends):
            for _ in range(ATTEMPTS):
                try:
                    return self._told(await _recomputed(self._pool, ends, query, arguments))
                except DROPPED:
                    continue
                except asyncpg.QueryCanceledError:
                    raise self._too_large() from None
        raise asyncpg.InterfaceError(UNSTEADY)

    async def _ask(self, text: str, arguments: Sequence[Any]) -> Sequence[Record]:
        async with self._pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                # Other reads may learn of another generation while this one waits, so it keeps to its own.
                generation = self._generation or await served_generation(connection)
                self._generation = generation
                try:
                    # The pool hands out proxies of Session, whose type asyncpg does not know.
                    await cast("Session", connection).use_generation(generation)
                    rows = await connection.fetch(text, *arguments)
                except DROPPED:
                    self._generation = await served_generation(connection)
                    continue
                self._generation = rows[0]["served"]
                if self._generation == generation:
                    return rows
        raise asyncpg.InterfaceError(UNSTEADY)

    def _told(self, reading: Reading) -> Reading:
        self._watermark.raise_to(reading.position)
        return reading

    @contextlib.asynccontextmanager
    async def _turn(self, ends: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(ends):
                await self._recomputing.acquire()
        except TimeoutError:
            raise self._refused("busy", "Other results are being recomputed at the moment. Try again later.") from None
        try:
            yield
        finally:
            self._recomputing.release()

    def _too_large(self) -> Problem:
        return self._refused(
            "too-large",
            f"This has to be recomputed from awards, and that took longer than {self._recompute_seconds:g} seconds. "
            "Try again when less is going on, or leave out as_of and known_at; the operator can raise "
            "LAURELS_RECOMPUTE_SECONDS.",
        )

    def _refused(self, code: str, detail: str) -> Problem:
        return unavailable(detail, code=code, retry_after=max(1, round(self._recompute_seconds)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Reads within one transaction, one query after another; the watermark is not raised by it."""

    connection: ReadSession
    generation: int

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query. Raises a database error."""
        return _found(await self.connection.fetch(_asked_once(query), *arguments))

    async def look_up(self, lookup: Lookup, *arguments: Any, shared: Sequence[Any] = ()) -> Reading:  # noqa: ANN401 - the same
        """Return the result of a lookup, alone. Raises a database error."""
        return await self.read(lookup.query, *arguments, *shared)

    async def recompute(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the result of a query, however long it takes. Raises a database error."""
        position = await read_position(self.connection, self.generation)
        return Reading(await self.connection.fetch(query, *arguments), position)


async def _recomputed(pool: ReadPool, ends: float, query: str, arguments: Sequence[Any]) -> Reading:
    # One snapshot, as a single statement would have; read_position() beside the query would forbid parallel plans.
    async with snapshot(pool) as session:
        left = max(0.001, ends - asyncio.get_running_loop().time())
        await session.fetchval(sql("query_api.queries", "limits"), str(round(left * 1000)))
        generation = await served_generation(session)
        position = await read_position(session, generation)
        await use_generation_in_snapshot(session, generation)
        rows = await session.fetch(query, *arguments, timeout=left + 5)
    return Reading(rows, position)


def _found(rows: Sequence[Record]) -> Reading:
    return Reading([row for row in rows if row["found"]], rows[0]["read_position"])


@cache
def _asked_once(query: str) -> str:
    return response(query, ONCE)
