"""The read models against the oracle: any events, in any batches, from either feed, give its very rows."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projector import runner
from projector.batch import MissingEvents, UnknownEvents
from projector.generations import loading
from projector.generations.lifecycle import metadata
from projector.generations.rebuild import rebuildable
from projector.log_batch import MANY
from projector.runner import TakenOver
from shared.events.codec import SCHEMA_VERSIONS, UPCASTERS
from shared.events.envelope import RecordedEvent
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS
from tests.support import oracle
from tests.support.histories import (
    START,
    History,
    award,
    change,
    create,
    cuts,
    define,
    histories,
    histories_with_a_revocation,
    history_of,
    interleavings,
    recorded,
    revoke,
    translate,
)
from tests.support.projected_log import PARTITIONS, ProjectedLog, days_around, projected_log, records
from tests.support.synchronously import synchronously

thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
brief = settings(thorough, max_examples=25)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database for this worker."""
    with projected_log(tmp_path_factory.mktemp("projections")) as opened:
        yield opened


def rows_of(history: Sequence[oracle.Fact]) -> list[RecordedEvent]:
    return recorded(history, PARTITIONS)


async def from_log(log: ProjectedLog, history: History, ends: Sequence[int]) -> oracle.Tables:
    """Project a log in ranges that end at these positions."""
    await log.restart(rows_of(history))
    for end in ends:
        await log.project(log.from_log(end))
    return await log.tables()


async def from_kafka(
    log: ProjectedLog, history: Sequence[oracle.Fact], batches: Sequence[Sequence[RecordedEvent]]
) -> oracle.Tables:
    """Project records in these batches."""
    events = rows_of(history)
    await log.restart(events)
    consumed = records(events)
    for batch in batches:
        await log.project_records(consumed[event.position] for event in batch)
    return await log.tables()


# A life with everything in it: ties, runs that merge, awards revoked at once and later, names that pass on.

EVENTFUL = history_of(
    [
        define(1, "en", 0, repeatable=True),
        define(2, "en", 5, repeatable=False),
        create(1, "ru", "Asia/Tokyo"),
        create(2, "en", "America/New_York"),
        award(0, 0, 3, 10),
        award(0, 0, 5, 10),
        award(0, 0, 4, 10),
        award(1, 0, 2, 23),
        award(1, 0, 2, 0),
        award(1, 2, 7, 0),
        award(2, 0, 1, 10),
        award(2, 1, 9, 10),
        award(2, 0, 8, 10),
        revoke(0),
        translate(0, "ru", 0),
        translate(0, "ru", 2),
        change(0, 0, None, None),
        change(1, 1, "en", "UTC"),
        change(0, 2, None, "Pacific/Honolulu"),
        award(2, 0, 7, 10),
        award(0, 0, 8, 10),
        award(0, 0, 9, 10),
        award(1, 2, 1, 0),
        award(1, 1, 6, 0),
        revoke(0),
        award(0, 0, 1, 0),
        award(2, 0, 0, 0),
        revoke(2),
        revoke(5),
        revoke(6),
        create(3, "en", "UTC"),
        award(3, 0, 2, 10),
        revoke(0),
        award(1, 0, 5, 0),
        award(1, 0, 5, 10),
        revoke(0),
        award(1, 0, 3, 10),
        award(1, 1, 3, 0),
    ]
)


EXPECTED = oracle.tables(EVENTFUL)


WAYS = pytest.mark.parametrize("way", [0, runner.SHORT], ids=["step by step", "in one call"])


@contextmanager
def calls_of(short: int) -> Iterator[None]:
    """Have ranges of up to so many events folded in one call, whatever is usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "SHORT", short)
        yield


def test_every_column_has_a_judge() -> None:
    """No table and no column of the read models escapes the oracle."""
    found = {table.name: [column.name for column in table.columns] for table in metadata(1).sorted_tables}
    assert {name: list(columns) for name, columns in oracle.COLUMNS.items()} == found


@WAYS
@thorough
@given(histories(), st.data())
def test_any_ranges_of_the_log_give_the_same_rows(
    log: ProjectedLog, way: int, history: History, data: st.DataObject
) -> None:
    """However the log is cut into batches, the read models are those of the oracle."""
    ends = data.draw(cuts(len(history)))
    with calls_of(way):
        assert oracle.tables(history) == synchronously(from_log(log, history, ends))


@thorough
@given(histories(), st.data())
def test_any_interleaving_of_partitions_gives_the_same_rows(
    log: ProjectedLog, history: History, data: st.DataObject
) -> None:
    """Partitions progress independently, and only the order within each of them matters."""
    batches = data.draw(interleavings(rows_of(history)))
    assert oracle.tables(history) == synchronously(from_kafka(log, history, batches))


@brief
@given(histories(at_least=8))
def test_rebuilt_is_incremental(log: ProjectedLog, history: History) -> None:
    """One batch of everything and one batch for each event give the same rows, and they are the oracle's."""
    one_by_one = synchronously(from_log(log, history, range(1, len(history) + 1)))
    at_once = synchronously(from_log(log, history, [len(history)]))
    assert oracle.tables(history) == one_by_one == at_once


@brief
@given(histories(at_least=8), st.data())
def test_the_log_takes_over_from_kafka(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """Partitions that Kafka left at different positions are brought on by the log, without a row twice."""
    events = rows_of(history)
    batches = data.draw(interleavings(events))
    handed_over = data.draw(st.integers(0, len(batches)))
    ends = data.draw(cuts(len(history)))

    async def work() -> oracle.Tables:
        await from_kafka(log, history, batches[:handed_over])
        await log.take_over()
        for end in ends:
            if end > min(at.position for at in log.held.values()):
                await log.project(log.from_log(end))
        return await log.tables()

    assert oracle.tables(history) == synchronously(work())


@brief
@given(histories(at_least=4), st.data())
def test_what_reads_report_is_there(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """No event at or below the Read-Position is missing, and at the end it is the head of the log."""
    events = rows_of(history)
    batches = data.draw(interleavings(events))

    async def work() -> list[int]:
        await log.restart(events)
        consumed = records(events)
        promised = []
        for batch in batches:
            await log.project_records(consumed[event.position] for event in batch)
            promised.append(await log.read_position())
        return promised

    missing = {event.position for event in events}
    for batch, position in zip(batches, synchronously(work()), strict=True):
        missing -= {event.position for event in batch}
        assert position < min(missing, default=len(history) + 1)
    assert len(history) == position


@WAYS
@brief
@given(histories(at_least=2), st.data())
def test_a_batch_is_applied_once(log: ProjectedLog, way: int, history: History, data: st.DataObject) -> None:
    """A batch that comes again is refused, from either feed, and changes nothing."""
    events = rows_of(history)
    end = data.draw(st.integers(1, len(history)))

    async def work() -> tuple[oracle.Tables, oracle.Tables]:
        await log.restart(events)
        consumed = records(events)
        again = log.from_log(end), log.from_kafka(consumed[position] for position in range(1, end + 1))
        await log.project(again[0])
        before = await log.tables()
        for batch in again:
            with pytest.raises(TakenOver):
                await log.project(batch)
        return before, await log.tables()

    with calls_of(way):
        before, after = synchronously(work())
    assert oracle.tables(history[:end]) == before == after


@WAYS
@brief
@given(histories(at_least=2), st.data())
def test_a_stale_epoch_is_refused(log: ProjectedLog, way: int, history: History, data: st.DataObject) -> None:
    """Whoever lost the partitions writes nothing, while whoever has them goes on."""
    events = rows_of(history)
    end = data.draw(st.integers(0, len(history) - 1))

    async def work() -> tuple[oracle.Tables, oracle.Tables, oracle.Tables]:
        await from_log(log, history, [end] if end else [])
        before = await log.tables()
        consumed = records(events)
        rest = [consumed[position] for position in range(end + 1, len(history) + 1)]
        stale = log.from_log(len(history)), log.from_kafka(rest)
        await log.take_over()
        for batch in stale:
            with pytest.raises(TakenOver):
                await log.project(batch)
        refused = await log.tables()
        await log.take_over()
        await log.project_records(rest)
        return before, refused, await log.tables()

    with calls_of(way):
        before, refused, finished = synchronously(work())
    assert oracle.tables(history[:end]) == before == refused
    assert oracle.tables(history) == finished


@thorough
@given(histories_with_a_revocation(), st.data())
def test_a_revoked_award_was_never_made(log: ProjectedLog, pair: tuple[History, History], data: st.DataObject) -> None:
    """With an award and its revocation every row is what it is without either, ties and their positions included."""
    history, without = pair
    batches = data.draw(interleavings(rows_of(history)))
    others = data.draw(interleavings(rows_of(without)))
    found = synchronously(from_kafka(log, history, batches))
    assert oracle.tables(without) == oracle.tables(history) == found
    assert found == synchronously(from_kafka(log, without, others))


@thorough
@given(
    histories(),
    st.dates(START.date() - timedelta(days=12), START.date() + timedelta(days=2)),
    st.integers(1, 4),
)
def test_the_answers_are_the_oracles(log: ProjectedLog, history: History, day: date, days: int) -> None:
    """Every statistic, over those with awards and over everybody, is what the contract's rules say."""
    synchronously(from_log(log, history, [len(history)]))
    today = days_around(day)
    for question in (oracle.max_count, oracle.max_points, oracle.difference):
        for everybody in (False, True):
            expected = question(history, include_unawarded=everybody)
            assert expected == synchronously(log.answer(question.__name__, include_unawarded=everybody))
    assert oracle.longest_streaks(history, days, today) == synchronously(log.streaks("longest", days, today))
    assert oracle.current_streaks(history, days, today) == synchronously(log.streaks("current", days, today))


@pytest.mark.parametrize("question", ["max_count", "max_points", "difference"])
@pytest.mark.parametrize("everybody", [False, True])
def test_nobody_is_no_answer(log: ProjectedLog, question: str, *, everybody: bool) -> None:
    """Without users there is nothing to make a statistic of, and without awards only with everybody."""

    async def work() -> tuple[object, object, object]:
        await log.restart([])
        nothing = await log.answer(question, include_unawarded=everybody)
        streaks = await log.streaks("longest", 2, days_around(START.date()))
        await from_log(log, history_of([]), [2])
        return nothing, streaks, await log.answer(question, include_unawarded=everybody)

    nothing, streaks, unawarded = synchronously(work())
    assert nothing is None
    assert [] == streaks
    assert everybody is (unawarded is not None)


def test_a_hole_in_the_log_stops(log: ProjectedLog) -> None:
    """The log is gapless: where an event is missing nothing of the batch is applied."""
    events = rows_of(EVENTFUL)

    async def work() -> oracle.Tables:
        await log.restart(events[:3] + events[4:])
        with pytest.raises(MissingEvents):
            await log.project(log.from_log(len(events)))
        return await log.tables()

    assert oracle.tables([]) == synchronously(work())


@pytest.mark.parametrize("strange", [{"schema_version": 2}, {"type": "user-forgotten"}])
def test_an_event_of_the_future_stops(log: ProjectedLog, strange: dict[str, Any]) -> None:
    """What only newer code can read is neither skipped nor guessed at; all before it is applied, nothing after it."""
    events = rows_of(EVENTFUL)

    async def work() -> oracle.Tables:
        await log.restart([*events[:-1], replace(events[-1], **strange)])
        with pytest.raises(UnknownEvents):
            await log.project(log.from_log(len(events)))
        return await log.tables()

    assert oracle.tables(EVENTFUL[:-1]) == synchronously(work())


@brief
@given(histories(at_least=4))
def test_a_generation_beside_is_the_same(log: ProjectedLog, history: History) -> None:
    """Built in bulk, or copied but for one projection, a generation has the oracle's rows."""

    async def work() -> list[oracle.Tables]:
        await from_log(log, history, [len(history)])
        return [await log.build(len(history)), *[await log.build(0, one=name) for name in rebuildable()]]

    built = synchronously(work())
    assert [oracle.tables(history)] * len(built) == built


@pytest.mark.parametrize("limit", [1, 4, len(EVENTFUL)])
@pytest.mark.parametrize("many", [1, 4, MANY])
def test_any_ranges_of_a_bulk_load_give_the_same_rows(
    log: ProjectedLog, monkeypatch: pytest.MonkeyPatch, limit: int, many: int
) -> None:
    """A table that gets its key late has it after the first range, and what follows finds it."""
    monkeypatch.setattr(loading, "BULK_LIMIT", limit)

    async def work() -> oracle.Tables:
        await log.restart(rows_of(EVENTFUL))
        return await log.build(len(EVENTFUL), many=many)

    assert oracle.tables(EVENTFUL) == synchronously(work())


def test_poison_in_a_bulk_load_is_quarantined(log: ProjectedLog) -> None:
    """An award that cannot be applied is found wherever it lies in a range, and the others are in the rows."""
    events = rows_of(EVENTFUL)
    awards = [number for number, event in enumerate(events) if event.type == "achievement-awarded"]
    bad = awards[-1]
    events[bad] = replace(events[bad], data=events[bad].data.replace('"points":', '"points":"many","p":', 1))

    async def work() -> oracle.Tables:
        await log.restart(events)
        return await log.build(len(events))

    built = synchronously(work())
    whole = oracle.tables([*EVENTFUL[:bad], *EVENTFUL[bad + 1 :]])
    assert [bad + 1] == [position for position, _ in built.pop("quarantine")]
    assert whole["user_awards"] == built["user_awards"]


@brief
@given(histories(at_least=4), st.data())
def test_verification_finds_nothing_in_sound_rows(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """The independent path agrees wherever the partitions have got to, not only once all is projected."""
    batches = data.draw(interleavings(rows_of(history)))
    projected = data.draw(st.integers(0, len(batches)))
    synchronously(from_kafka(log, history, batches[:projected]))
    assert {} == synchronously(log.drift())


@pytest.mark.parametrize("feed", ["log", "kafka", "bulk"])
def test_older_versions_are_upcasted(log: ProjectedLog, monkeypatch: pytest.MonkeyPatch, feed: str) -> None:
    """Where events of two versions are mixed, the old ones are folded as if they had been written today."""
    monkeypatch.setitem(SCHEMA_VERSIONS, "user-created", 2)
    monkeypatch.setitem(UPCASTERS, ("user-created", 1), lambda data: {**data, "user_timezone": data["zone"]})
    sound = rows_of(EVENTFUL)
    created = [event.position for event in sound if event.type == "user-created"]
    events = [_in_version_1(event) if event.position in created[::2] else event for event in sound]

    async def work() -> oracle.Tables:
        await log.restart(events)
        if feed == "bulk":
            return await log.build(len(events))
        if feed == "log":
            await log.project(log.from_log(len(events)))
        else:
            await log.project_records(records(events).values())
        return await log.tables()

    assert EXPECTED == synchronously(work())


def _in_version_1(event: RecordedEvent) -> RecordedEvent:
    data = json.loads(event.data)
    zone = data.pop("user_timezone")
    return replace(event, schema_version=1, data=json.dumps({**data, "zone": zone}))


# Broken twins: what the comparison is worth

RANGES = ([len(EVENTFUL)], range(1, len(EVENTFUL) + 1), [*range(4, len(EVENTFUL), 4), len(EVENTFUL)])

TWINS = {
    "the first award keeps the tie": ("greatest(c.created_position, t.count", "least(c.created_position, t.count"),
    "a revoked award keeps its position": ("CASE WHEN c.revoked THEN", "CASE WHEN false THEN"),
    "zero points count as points": ("'achievement-awarded' AND points > 0", "'achievement-awarded'"),
    "revoked in the same batch stays": (
        "AND award_id NOT IN (SELECT award_id FROM batch WHERE type = 'award-revoked')",
        "",
    ),
    "a revocation takes the whole day": ("a.local_day = b.local_day", "false"),
    "a revocation leaves the day": ("- coalesce(c.lost, '{}')", ""),
    "the later of equal runs is shown": ("min(lower(run))", "max(lower(run))"),
    "the first run is the latest": ("max(lower(run))", "min(lower(run))"),
    "gaps stay as they are": ("IS DISTINCT FROM g.gap", "IS DISTINCT FROM g.gap AND false"),
    "the next level keeps its gap": ("l.total_points > m.total_points", "false"),
    "levels forget who left": ("SELECT old_points, -1", "SELECT old_points, 0"),
    "the first profile stays": ("ORDER BY user_id, position DESC", "ORDER BY user_id, position"),
    "the first text stays": ("'achievement_language', position DESC", "'achievement_language', position"),
}


def test_an_eventful_life_is_projected(log: ProjectedLog) -> None:
    """The history that the broken twins fail on is no trap: sound statements give the oracle's rows in any ranges."""
    assert [EXPECTED] * len(RANGES) == [synchronously(from_log(log, EVENTFUL, ends)) for ends in RANGES]


@pytest.fixture(params=TWINS)
def broken(log: ProjectedLog, request: pytest.FixtureRequest) -> Iterator[None]:
    """Put one fault into the projections."""
    sound, broken = TWINS[request.param]
    assert any(sound in model.fold for model in READ_MODELS), "the fault has nowhere to go: the folds read differently"
    synchronously(log.reopen([_broken(model, sound, broken) for model in READ_MODELS]))
    yield
    synchronously(log.reopen())


def _broken(model: ReadModel, sound: str, broken: str) -> ReadModel:
    class Broken(ReadModel):
        @property
        def fold(self) -> str:
            return model.fold.replace(sound, broken)

    return Broken(**{field.name: getattr(model, field.name) for field in fields(model)})


@pytest.mark.usefixtures("broken")
def test_a_broken_twin_is_caught(log: ProjectedLog) -> None:
    """A projection with one fault put in is told from a sound one."""
    assert any(EXPECTED != synchronously(from_log(log, EVENTFUL, ends)) for ends in RANGES)


@pytest.mark.usefixtures("broken")
def test_verification_catches_a_broken_twin(log: ProjectedLog) -> None:
    """What tells a broken projection from a sound one in these tests, `laurels verify` tells in production."""

    async def work() -> list[dict[str, int]]:
        drifts = []
        for ends in RANGES:
            await from_log(log, EVENTFUL, ends)
            drifts.append(await log.drift())
        return drifts

    assert any(synchronously(work()))
