"""A read model is a folder: one that only the tests have is projected, rebuilt, verified, quarantined and served.

Nothing but the tuple of read models, which is an argument of all of these, knows of it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projector import quarantine
from projector.generations.plan import Outcome, Plan, Refused
from projector.generations.rebuild import rebuild
from projector.generations.verification import TableCheck, verify
from projector.runner import open_session
from shared.events.types import AchievementAwarded, AwardRevoked
from shared.read_models.registry import READ_MODELS, version
from shared.runtime.settings import Settings
from shared.runtime.sql import sql
from tests.support import daily_awards, oracle
from tests.support.histories import (
    History,
    award,
    create,
    cuts,
    define,
    histories,
    history_of,
    interleavings,
    recorded,
    revoke,
)
from tests.support.projected_log import PARTITIONS, ProjectedLog, projected_log, records
from tests.support.synchronously import synchronously

MODELS = (*READ_MODELS, daily_awards.READ_MODEL)
NAME = "daily_awards"
COLUMNS = tuple(column.name for column in daily_awards.TABLE.columns)
CURRENT = sql("tests.support.daily_awards", "current")

thorough = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ACTIVE = history_of(
    [
        create(1, "en", "Asia/Tokyo"),
        define(1, "en", 5, repeatable=True),
        award(0, 0, 3, 10),
        award(1, 0, 3, 10),
        award(0, 1, 3, 23),
        award(0, 0, 4, 10),
        award(1, 1, 2, 0),
        revoke(1),
        award(0, 0, 1, 0),
        award(0, 1, 4, 0),
        award(0, 0, 4, 23),
    ]
)
"""Two users; the first has days of several awards, of which one was revoked."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database whose generation has the new read model beside the others, since a rebuild."""
    with projected_log(tmp_path_factory.mktemp("new-read-model")) as opened:
        synchronously(rebuilt(opened))
        yield opened


async def rebuilt(log: ProjectedLog, projection: str | None = None) -> Outcome:
    """Do as `laurels rebuild` does, and go on with the generation that is live then."""
    given = Settings(_env_file=None, database_url=log.url)
    outcome = await rebuild(given, Plan(projection=projection, keep=0), lambda _progress: None, MODELS)
    await log.reopen(MODELS, outcome.generation)
    return outcome


def daily(history: History) -> list[oracle.Row]:
    """Return the rows that the new read model has to have, by the awards that stand."""
    standing: dict[int, AchievementAwarded] = {}
    for fact in history:
        if isinstance(fact.event, AchievementAwarded):
            standing[fact.event.award_id] = fact.event
        elif isinstance(fact.event, AwardRevoked):
            del standing[fact.event.award_id]
    points = defaultdict(list)
    for event in standing.values():
        points[event.user_id, event.local_day].append(event.points)
    return sorted((*day, len(each), sum(each)) for day, each in points.items())


async def rows(log: ProjectedLog) -> list[oracle.Row]:
    return await log.rows(NAME, COLUMNS)


async def projected(log: ProjectedLog, history: History, ends: Sequence[int]) -> tuple[list[oracle.Row], oracle.Tables]:
    """Project a log in ranges that end at these positions; return the new rows, and all others."""
    await log.restart(recorded(history, PARTITIONS))
    for end in ends:
        await log.project(log.from_log(end))
    return await rows(log), await log.tables()


@thorough
@given(histories(), st.data())
def test_it_is_projected_in_any_ranges(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """However the log is cut, its rows are right, and those of the other read models are what they are without it."""
    ends = data.draw(cuts(len(history)))
    assert (daily(history), oracle.tables(history)) == synchronously(projected(log, history, ends))


@thorough
@given(histories(), st.data())
def test_it_is_projected_from_records(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """Records of Kafka give the same rows, at whatever pace each partition progresses."""
    events = recorded(history, PARTITIONS)
    batches = data.draw(interleavings(events))

    async def work() -> list[oracle.Row]:
        await log.restart(events)
        consumed = records(events)
        for batch in batches:
            await log.project_records(consumed[event.position] for event in batch)
        return await rows(log)

    assert daily(history) == synchronously(work())


@pytest.mark.parametrize("projection", [None, NAME])
def test_it_is_rebuilt(log: ProjectedLog, projection: str | None) -> None:
    """A rebuild, of all or by its name alone, mends rows that had drifted, and switches to them."""

    async def work() -> tuple[int, Outcome, list[oracle.Row]]:
        await projected(log, ACTIVE, [len(ACTIVE)])
        await log.execute("UPDATE daily_awards SET awards = awards + 1")
        before = log.generation
        return before, await rebuilt(log, projection), await rows(log)

    before, outcome, found = synchronously(work())
    assert outcome.switched
    assert outcome.generation > before
    assert daily(ACTIVE) == found
    assert outcome.verification is not None
    assert len(daily(ACTIVE)) == next(check.rows for check in outcome.verification.tables if check.table == NAME)
    assert {} == synchronously(log.drift())


def test_it_can_be_named(log: ProjectedLog) -> None:
    """It stands among the names that `--projection` takes; another name is refused with them."""
    with pytest.raises(Refused, match=NAME):
        synchronously(rebuilt(log, "nothing"))


def test_it_moves_the_version(log: ProjectedLog) -> None:
    """Code that has it takes a generation without it for an older one, and so rebuilds it when it starts."""
    del log
    assert version(MODELS) > version()


def test_its_drift_is_found_and_named(log: ProjectedLog) -> None:
    """A row that changed and one that is gone are found by `laurels verify`, in its table and nowhere else."""

    async def work() -> Sequence[TableCheck]:
        await projected(log, ACTIVE, [len(ACTIVE)])
        await log.execute("UPDATE daily_awards SET points = 7777 WHERE user_id = 2")
        await log.execute("DELETE FROM daily_awards WHERE user_id = 1 AND awards = 1")
        return (await verify(log.url, log.generation, MODELS)).tables

    (found,) = [check for check in synchronously(work()) if check.differing]
    changed = sum(row[0] == 2 for row in daily(ACTIVE))
    gone = sum(row[0] == 1 and row[2] == 1 for row in daily(ACTIVE))
    assert changed
    assert gone
    assert (NAME, 2 * changed + gone) == (found.table, found.differing)
    assert all(example.startswith(("missing: (", "unexpected: (")) for example in found.examples)


def test_its_user_is_quarantined_and_retried(log: ProjectedLog) -> None:
    """Poison of one user costs that award alone; a retry deletes and refolds the user's rows, and nothing twice."""
    events = recorded(ACTIVE, PARTITIONS)
    bad = next(n for n, event in enumerate(events) if event.type == "achievement-awarded" and event.user_id == 1)
    sound = events[bad].data
    events[bad] = replace(events[bad], data=sound.replace('"points":', '"points":"many","p":', 1))
    mend = "UPDATE events SET data = $2::jsonb WHERE position = $1"
    found: dict[str, list[oracle.Row]] = {}

    async def retried() -> None:
        session = await open_session(log.url, log.generation, MODELS, large=False)
        try:
            (record,) = await quarantine.listed(session, 0, 10)
            await quarantine.retry(session, record["quarantine_id"], MODELS)
        finally:
            session.terminate()

    async def work() -> None:
        await log.restart(events)
        await log.project(log.from_log(len(events)))
        found["without"] = await rows(log)
        found["incomplete"] = await log.rows("incomplete_users", ["user_id"])
        with pytest.raises(asyncpg.DataError):
            await retried()
        found["after a retry too early"] = await rows(log)
        await log.execute(mend, bad + 1, sound)
        await retried()
        found["retried"] = await rows(log)
        found["complete"] = await log.rows("incomplete_users", ["user_id"])

    synchronously(work())
    without = daily(tuple(fact for fact in ACTIVE if fact.position != bad + 1))
    assert without == found["without"] == found["after a retry too early"]
    assert [(1,)] == found["incomplete"]
    assert daily(ACTIVE) == found["retried"]
    assert [] == found["complete"]
    assert {} == synchronously(log.drift())


def test_it_is_served(log: ProjectedLog) -> None:
    """The query side's role may read it: its question is answered from the live generation, with a Read-Position."""

    async def work() -> tuple[list[tuple[object, ...]], int]:
        await projected(log, ACTIVE, [len(ACTIVE)])
        reading = await log.read(CURRENT, "ada", 2)
        return [(r["username"], r["local_day"], r["awards"], r["points"]) for r in reading.rows], reading.position

    busiest = sorted((day for day in daily(ACTIVE) if day[0] == 1), key=lambda day: (-int(str(day[2])), day[1]))[:2]
    assert ([("Ada", *day[1:]) for day in busiest], len(ACTIVE)) == synchronously(work())
