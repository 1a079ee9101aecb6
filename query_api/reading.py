"""How every question is asked: in one snapshot, so that rows, generation and Read-Position belong together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.read_models import SERVED, schema_name, served_generation
from shared.runtime.database import Connection, Pool, Record
from shared.runtime.problems import Problem, unavailable

logger = logging.getLogger(__name__)

ATTEMPTS = 3
DROPPED = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.DeadlockDetectedError)
"""The generation was dropped, or is being dropped, after another had taken its place."""

RECOMPUTATIONS = 2
"""How many may run at a time in one process, so that they leave connections and processors to other reads."""
RECOMPUTE_SECONDS = 10

WRAPPED = f"""
SELECT ({SERVED}) AS served, read_position({{generation}}) AS read_position, answer.*
FROM (SELECT true) AS once LEFT JOIN LATERAL (SELECT true AS found, q.* FROM ({{query}}) AS q) AS answer ON true
"""  # noqa: S608 - put together from constants

# A plan for just these moments, and memory in which the users of a large instance can be counted.
LIMITED = """
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '64MB', true)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of an answer, and the position up to which they are complete."""

    rows: Sequence[Record]
    position: int


class Reader:
    """Asks the generation that is served. Queries name its tables as `{g}.table`, and it itself as `{generation}`."""

    def __init__(self, pool: Pool, recompute_seconds: float = RECOMPUTE_SECONDS) -> None:
        self.pool = pool
        self._generation = 0
        self._texts: dict[tuple[str, int], str] = {}
        self._recompute_seconds = recompute_seconds
        self._turns = asyncio.Semaphore(RECOMPUTATIONS)

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer of the generation that is served as it is given. Raises a database error."""
        async with self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                # Other reads may learn of another generation while this one waits, so it keeps to its own.
                generation = self._generation or await served_generation(connection)
                try:
                    rows = await connection.fetch(self._text(query, generation), *arguments)
                except DROPPED:
                    self._switch(await served_generation(connection))
                    continue
                if rows[0]["served"] == generation:
                    return Reading([row for row in rows if row["found"]], rows[0]["read_position"])
                self._switch(rows[0]["served"])
        raise asyncpg.InterfaceError(_UNSTEADY)

    async def recompute(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer to a question that looks at many rows.

        Raises a 503 Problem when it is not there in time, waiting for its turn included, or a database error.
        """
        ends = asyncio.get_running_loop().time() + self._recompute_seconds
        async with self._turn(ends), self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                try:
                    return await _recomputed(connection, ends, query, arguments)
                except DROPPED:
                    continue
                except asyncpg.QueryCanceledError:
                    raise self._too_large() from None
        raise asyncpg.InterfaceError(_UNSTEADY)

    @contextlib.asynccontextmanager
    async def _turn(self, ends: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(ends):
                await self._turns.acquire()
        except TimeoutError:
            raise self._too_large() from None
        try:
            yield
        finally:
            self._turns.release()

    def _too_large(self) -> Problem:
        return unavailable(
            f"This has to be recomputed from awards, and that took longer than {self._recompute_seconds:g} seconds. "
            "Try again when less is going on, or leave out as_of and known_at; whoever runs Laurels can raise "
            "LAURELS_RECOMPUTE_SECONDS.",
            code="too-large",
            retry_after=max(1, round(self._recompute_seconds)),
        )

    def _switch(self, generation: int) -> None:
        if generation != self._generation:
            self._generation = generation
            self._texts.clear()

    def _text(self, query: str, generation: int) -> str:
        text = self._texts.get((query, generation))
        if text is None:
            text = _qualified(WRAPPED.replace("{query}", query), generation)
            self._texts[query, generation] = text
        return text


_UNSTEADY = "the served generation changed with every attempt"


async def _recomputed(connection: Connection, ends: float, query: str, arguments: Sequence[Any]) -> Reading:
    # One snapshot, as a single statement would have; read_position() beside the query would forbid parallel plans.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        left = max(0.001, ends - asyncio.get_running_loop().time())
        await connection.execute(LIMITED, str(round(left * 1000)))
        generation = await served_generation(connection)
        position: int = await connection.fetchval("SELECT read_position($1)", generation)
        rows = await connection.fetch(_qualified(query, generation), *arguments, timeout=left + 5)
    return Reading(rows, position)


def _qualified(query: str, generation: int) -> str:
    return query.replace("{g}", schema_name(generation)).replace("{generation}", str(generation))
