"""The reader: over a pool and in a snapshot, a question has the same result."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from query_api.lookups import Lookup
from query_api.reader import PoolReader, Reader, Reading, Snapshot
from query_api.sessions import open_reading_pool, snapshot, use_generation_in_snapshot
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import ReadPool
from tests.support import projected_log
from tests.support.histories import create, history_of, recorded
from tests.support.projected_log import GENERATION, PARTITIONS, ProjectedLog
from tests.support.synchronously import synchronously

SECONDS = 30.0
HISTORY = history_of([create(number, "en", "UTC") for number in (1, 2, 3)])
USERS = "SELECT user_id FROM users WHERE user_id > $1 ORDER BY user_id"
BEYOND = Lookup("SELECT user_id + $2::int AS sum FROM users WHERE user_id > $1 ORDER BY user_id", ("bigint",))

Ask = Callable[[Reader], Coroutine[Any, Any, Reading]]
ASKED: dict[str, Ask] = {
    "read": lambda reader: reader.read(USERS, 0),
    "look up": lambda reader: reader.look_up(BEYOND, 0, shared=(10,)),
    "recompute": lambda reader: reader.recompute(USERS, 0),
    "nothing": lambda reader: reader.read(USERS, 99),
    "no lookup": lambda reader: reader.look_up(BEYOND, 99, shared=(10,)),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database for this file."""
    with projected_log.projected_log(tmp_path_factory.mktemp("reader")) as opened:
        yield opened


@asynccontextmanager
async def reading(log: ProjectedLog, upto: int) -> AsyncIterator[tuple[PoolReader, ReadPool, VisibilityWatermark]]:
    """Project the log up to a position, and read it."""
    await log.restart(recorded(HISTORY, PARTITIONS))
    await log.project(log.from_log(upto))
    watermark = VisibilityWatermark()
    async with open_reading_pool(log.url, size=3) as pool, asyncio.timeout(SECONDS):
        yield PoolReader(pool, watermark), pool, watermark


def rows_of(found: Reading) -> list[int]:
    return [row["sum"] if "sum" in row else row["user_id"] for row in found.rows]


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_both_readers_agree(log: ProjectedLog, ask: Ask) -> None:
    """Rows and Read-Position are the same, whichever reader is asked."""

    async def work() -> list[tuple[list[int], int]]:
        async with reading(log, 3) as (reader, pool, _), snapshot(pool) as session:
            await use_generation_in_snapshot(session, GENERATION)
            found = [await ask(one) for one in (reader, Snapshot(session, GENERATION))]
            return [(rows_of(one), one.position) for one in found]

    over_pool, in_snapshot = synchronously(work())
    assert over_pool == in_snapshot
    assert 3 == over_pool[1]


def test_a_snapshot_stays_and_tells_nobody(log: ProjectedLog) -> None:
    """What is committed later is not in a snapshot, and only what a client is told raises the watermark."""

    async def work() -> list[tuple[list[int], int, int]]:
        async with reading(log, 2) as (reader, pool, watermark), snapshot(pool) as session:
            await use_generation_in_snapshot(session, GENERATION)
            found = []
            readers = (Snapshot(session, GENERATION), Snapshot(session, GENERATION), reader)
            for one in readers:
                result = await one.read(USERS, 0)
                found.append((rows_of(result), result.position, watermark.position))
                await log.project(log.from_log(4))
            return found

    assert [([1], 2, 0), ([1], 2, 0), ([1, 2, 3], 4, 4)] == synchronously(work())


@pytest.mark.parametrize("ask", ["read", "look up", "recompute"])
def test_every_result_of_the_pool_raises_the_watermark(log: ProjectedLog, ask: str) -> None:
    """Whatever a client may be told of counts."""

    async def work() -> int:
        async with reading(log, 3) as (reader, _, watermark):
            await ASKED[ask](reader)
            return watermark.position

    assert 3 == synchronously(work())


def test_a_session_only_reads(log: ProjectedLog) -> None:
    """The role of the sessions may not write, so a mistake in a question is an error and no change."""

    async def work() -> None:
        async with reading(log, 3) as (reader, _, _):
            await reader.recompute("DELETE FROM users RETURNING user_id")

    with pytest.raises(asyncpg.PostgresError):
        synchronously(work())
