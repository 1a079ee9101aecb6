"""Batched lookups: each client has a result of its own, whatever becomes of the others in its batch."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from projector.generation import create, drop, hand_over, switch
from projector.loading import load_from_log
from query_api.lookups import BATCH_LIMIT, BATCHES_AT_ONCE, Lookup
from query_api.reader import PoolReader, Reading
from query_api.routes.users import USER
from query_api.sessions import open_reading_pool
from shared.domain.names import username
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import ReadPool, Role, connect
from tests.support import projected_log
from tests.support.histories import USERNAMES, history_of, recorded
from tests.support.histories import create as register
from tests.support.projected_log import BESIDE, GENERATION, PARTITIONS, ProjectedLog
from tests.support.synchronously import synchronously

SECONDS = 30.0
# Four users and an achievement.
HISTORY = history_of([register(number, "en", "UTC") for number in (1, 2, 3)])
COUNTED = Lookup("SELECT n + $2::int AS n FROM generate_series(1, $1) AS n", ("int",))
QUOTIENT = Lookup("SELECT 100 / $1 AS quotient", ("int",))
SLOW = Lookup("SELECT $2::text AS told, (SELECT count(*) FROM users) AS users FROM pg_sleep($1)", ("float8",))
WHERE = Lookup(
    "SELECT current_setting('laurels.generation')::int AS generation, username FROM users WHERE username_key = $1",
    ("text",),
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database for this file."""
    with projected_log.projected_log(tmp_path_factory.mktemp("look-ups")) as opened:
        yield opened


@asynccontextmanager
async def reading(log: ProjectedLog, upto: int = 5) -> AsyncIterator[tuple[PoolReader, ReadPool]]:
    """Project the log up to a position, and read it over a pool that would take ten questions at once."""
    await log.restart(recorded(HISTORY, PARTITIONS))
    await log.project(log.from_log(upto))
    async with open_reading_pool(log.url, size=10) as pool, asyncio.timeout(SECONDS):
        yield PoolReader(pool, VisibilityWatermark()), pool


def test_everybody_has_their_own_answer(log: ProjectedLog) -> None:
    """However many ask at once, each gets what they would get alone, in order, and nothing where there is nothing."""
    asked = [number % 7 for number in range(3 * BATCH_LIMIT)]
    names = [username(name) for name in USERNAMES[:4]]
    keys = [names[count].key if count < 4 else "nobody" for count in asked]

    async def work() -> tuple[list[Reading], list[Reading]]:
        async with reading(log) as (reader, _):
            counted = await asyncio.gather(*(reader.look_up(COUNTED, count, shared=(10,)) for count in asked))
            found = await asyncio.gather(*(reader.look_up(USER, key) for key in keys))
            return counted, found

    counted, found = synchronously(work())
    assert [list(range(11, 11 + count)) for count in asked] == [[row["n"] for row in one.rows] for one in counted]
    expected = [[names[count].display] if count < 4 else [] for count in asked]
    assert expected == [[row["username"] for row in one.rows] for one in found]
    assert {5} == {one.position for one in (*counted, *found)}


def test_a_kind_of_look_up_takes_two_connections(log: ProjectedLog) -> None:
    """However many ask, and though all come at the same moment, the others are left to other questions."""

    async def work() -> int:
        async with reading(log) as (reader, pool):
            await asyncio.gather(*(reader.look_up(SLOW, 0.01, shared=("",)) for _ in range(5 * BATCH_LIMIT)))
            return pool.get_size()

    assert BATCHES_AT_ONCE == synchronously(work())


def test_a_failure_is_that_of_its_group(log: ProjectedLog) -> None:
    """All who were asked for together hear of it, nobody else does, and the next one is answered."""
    divisors = [1] * BATCH_LIMIT + [1, 0, 1]

    async def work() -> tuple[list[Reading | BaseException], Reading]:
        async with reading(log) as (reader, _):
            asked = (reader.look_up(QUOTIENT, divisor) for divisor in divisors)
            found = await asyncio.gather(*asked, return_exceptions=True)
            return found, await reader.look_up(QUOTIENT, 5)

    found, afterwards = synchronously(work())
    assert [100] * BATCH_LIMIT == [one.rows[0]["quotient"] for one in found if isinstance(one, Reading)]
    assert [asyncpg.DivisionByZeroError] * 3 == [type(one) for one in found[BATCH_LIMIT:]]
    assert 20 == afterwards.rows[0]["quotient"]


async def begun(reader: PoolReader, *waits: float, told: str = "") -> list[asyncio.Task[Reading]]:
    """Ask so that each is in a group of its own, until no more groups may be under way; the others wait."""
    tasks = []
    for seconds in waits:
        tasks.append(asyncio.create_task(reader.look_up(SLOW, seconds, shared=(told,))))
        # One turn to ask, one for the group to take what waits.
        for _ in range(2):
            await asyncio.sleep(0)
    return tasks


def test_who_leaves_takes_nobody_along(log: ProjectedLog) -> None:
    """One who is cancelled, under way or waiting, changes nothing for the others of the group."""

    async def work() -> list[str]:
        async with reading(log) as (reader, _):
            gone, other, waiting_gone, waiting = await begun(reader, 0.2, 0.2, 0.0, 0.0)
            gone.cancel()
            waiting_gone.cancel()
            found = await asyncio.gather(gone, other, waiting_gone, waiting, return_exceptions=True)
            again = await reader.look_up(SLOW, 0.0, shared=("",))
            return [type(one).__name__ for one in (*found, again)]

    assert ["CancelledError", "Reading", "CancelledError", "Reading", "Reading"] == synchronously(work())


def test_a_look_up_is_asked_after_it_came(log: ProjectedLog) -> None:
    """Who waits for a group that is under way sees what was committed meanwhile, and is told of today."""

    async def work() -> list[tuple[int, int, str]]:
        async with reading(log, upto=3) as (reader, _):
            early = await begun(reader, 0.3, 0.3, told="yesterday")
            await asyncio.sleep(0.1)
            await log.project(log.from_log(5))
            late = await begun(reader, 0.0, told="today")
            found = await asyncio.gather(*early, *late)
            return [(one.position, one.rows[0]["users"], one.rows[0]["told"]) for one in found]

    assert [(3, 2, "yesterday"), (3, 2, "yesterday"), (5, 4, "today")] == synchronously(work())


def test_a_group_is_of_the_generation_that_is_served(log: ProjectedLog) -> None:
    """After a switch, and after the generation that was served is gone, a whole group is asked anew of the other."""

    async def all_of_them(reader: PoolReader) -> set[tuple[int, str, int]]:
        found = await asyncio.gather(*(reader.look_up(WHERE, username(USERNAMES[0]).key) for _ in range(BATCH_LIMIT)))
        return {(row["generation"], row["username"], one.position) for one in found for row in one.rows}

    async def work() -> Sequence[set[tuple[int, str, int]]]:
        async with reading(log) as (reader, _):
            connection = await connect(log.url, Role.PROJECTOR)
            try:
                await create(connection, BESIDE)
                await load_from_log(log.url, BESIDE, 5)
                await connection.execute(f"UPDATE generation_{BESIDE}.users SET username = 'anew'")  # noqa: S608 - our own names
                await hand_over(connection, BESIDE)
                before = await all_of_them(reader)
                await switch(connection, BESIDE)
                switched = await all_of_them(reader)
                await switch(connection, GENERATION)
                await drop(connection, BESIDE)
                return before, switched, await all_of_them(reader)
            finally:
                await connection.close()

    own, beside = {(GENERATION, USERNAMES[0], 5)}, {(BESIDE, "anew", 5)}
    assert [own, beside, own] == list(synchronously(work()))
