"""Going back in time against the oracle: any history, any moment, whatever has been projected meanwhile."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query_api import queries
from query_api.reader import PoolReader
from query_api.sessions import open_reading_pool
from shared.event_store.log import position_at
from shared.events.codec import UPCASTERS
from shared.events.envelope import RecordedEvent
from shared.events.types import AchievementAwarded, AwardRevoked, UserChanged, UserCreated
from shared.http.problems import Problem
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import OwnConnection, Role, connect
from tests.support import oracle, projected_log
from tests.support.histories import (
    START,
    History,
    award,
    change,
    create,
    define,
    histories,
    history_of,
    interleavings,
    recorded,
    revoke,
)
from tests.support.projected_log import PARTITIONS, QUESTIONS, ProjectedLog, Then, days_around, records
from tests.support.synchronously import synchronously

ORACLES = (oracle.max_count, oracle.max_points, oracle.difference)
STREAKS = {"longest": oracle.longest_streaks, "current": oracle.current_streaks}

thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectedLog]:
    """Run a database for this file."""
    with projected_log.projected_log(tmp_path_factory.mktemp("past")) as opened:
        yield opened


async def given_projected(
    log: ProjectedLog, history: History, batches: Sequence[Sequence[RecordedEvent]]
) -> tuple[History, int]:
    """Append a whole history, but project these batches only; return what was projected, and the Read-Position."""
    events = recorded(history, PARTITIONS)
    await log.restart(events)
    consumed = records(events)
    for batch in batches:
        await log.project_records(consumed[event.position] for event in batch)
    projected = {event.position for batch in batches for event in batch}
    return tuple(fact for fact in history if fact.position in projected), await log.read_position()


Answers = dict[str, object]


async def answers(log: ProjectedLog, then: Then, today: dict[str, date]) -> Answers:
    """Ask everything that can be asked about a moment."""
    found: Answers = {
        f"{question.__name__} {everybody}": await log.answer(question.__name__, include_unawarded=everybody, then=then)
        for question in ORACLES
        for everybody in (False, True)
    }
    return found | {mode: await log.streaks(mode, 2, today, then) for mode in STREAKS}


def expected_answers(facts: Sequence[oracle.Fact], then: Then, today: dict[str, date]) -> Answers:
    """Return what the oracle answers."""
    known = oracle.at(facts, known_at=then.known_at, as_of=then.as_of)
    found: Answers = {
        f"{question.__name__} {everybody}": question(known, include_unawarded=everybody)
        for question in ORACLES
        for everybody in (False, True)
    }
    return found | {mode: streaks(known, 2, today) for mode, streaks in STREAKS.items()}


def moments(history: History) -> st.SearchStrategy[datetime]:
    """Draw any moment, or one at which something was awarded or recorded, or a hair from it."""
    eventful = [fact.event.awarded_at for fact in history if isinstance(fact.event, AchievementAwarded)]
    eventful += [fact.recorded_at for fact in history]
    hairs = st.sampled_from((-1, 0, 1)).map(lambda number: timedelta(microseconds=number))
    first, last = (START.replace(tzinfo=None) + timedelta(days=days) for days in (-12, 1))
    anywhen = st.datetimes(first, last, timezones=st.just(UTC))
    return anywhen | st.builds(lambda moment, hair: moment + hair, st.sampled_from(eventful), hairs)


@thorough
@given(histories(at_least=4), st.data())
def test_the_past_is_the_oracles(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """At any moment, known and counted, every statistic is the oracle's, however far each partition has come."""
    batches = data.draw(interleavings(recorded(history, PARTITIONS)))
    some = batches[: data.draw(st.integers(1, len(batches)))]
    present, position = synchronously(given_projected(log, history, some))
    for _ in range(3):
        known_at = data.draw(st.none() | st.integers(0, position))
        then = Then(known_at, data.draw(st.none() | moments(history)))
        today = days_around(data.draw(st.dates(START.date() - timedelta(12), START.date() + timedelta(2))))
        assert expected_answers(present, then, today) == synchronously(answers(log, then, today))


@thorough
@given(histories(), st.data())
def test_a_moment_is_a_position(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """What was known at a moment is all that had been recorded by then, that very microsecond included."""
    moment = data.draw(moments(history))
    synchronously(log.restart(recorded(history, PARTITIONS)))
    assert oracle.position_at(history, moment) == synchronously(log.position_at(moment))


@thorough
@given(histories(at_least=4), st.data())
def test_an_answer_about_the_past_never_changes(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """What was known at a position is answered the same as soon as it is projected and for ever after."""
    then = Then(data.draw(st.integers(1, len(history))), data.draw(st.none() | moments(history)))
    today = days_around(START.date())

    async def work() -> tuple[Answers, Answers]:
        await log.restart(recorded(history, PARTITIONS))
        assert then.known_at is not None
        await log.project(log.from_log(then.known_at))
        soon = await answers(log, then, today)
        if then.known_at < len(history):
            await log.project(log.from_log(len(history)))
        return soon, await answers(log, then, today)

    soon, later = synchronously(work())
    assert soon == later


@thorough
@given(histories(at_least=4), st.data())
def test_a_users_numbers_are_explained(log: ProjectedLog, history: History, data: st.DataObject) -> None:
    """A user's stats are the oracle's, and the events listed are all of theirs that are projected."""
    batches = data.draw(interleavings(recorded(history, PARTITIONS)))
    some = batches[: data.draw(st.integers(1, len(batches)))]
    present, _ = synchronously(given_projected(log, history, some))
    today = days_around(data.draw(st.dates(START.date() - timedelta(12), START.date() + timedelta(2))))
    # A name passes on in the order of the log, which partitions need not follow: the later holder has it.
    profiles = [fact.event for fact in present if isinstance(fact.event, UserCreated | UserChanged)]
    holders = {profile.username_key: profile.user_id for profile in profiles}
    current = {profile.user_id: profile.username_key for profile in profiles}
    for user_id, key in current.items():
        if holders[key] == user_id:
            own = [fact.position for fact in oracle.events_of(present, user_id)]
            assert oracle.stats(present, user_id, today) == synchronously(log.stats(key, today))
            assert own == synchronously(log.positions_of(key))


def test_answers_about_the_past_say_what_is_incomplete(log: ProjectedLog) -> None:
    """While events of a user are in quarantine, an answer that shows the user says so, and no other does."""
    synchronously(given_projected(log, EVENTFUL, [recorded(EVENTFUL, PARTITIONS)]))
    then, today = Then(len(EVENTFUL), None), days_around(START.date() - timedelta(1))
    before = synchronously(log.incomplete(then, today))
    for user in oracle.standings(EVENTFUL):
        synchronously(log.mark_incomplete(user.user_id))
    after = synchronously(log.incomplete(then, today))

    assert {question: set() for question in QUESTIONS} == before
    assert {question: {True} for question in QUESTIONS} == after


def test_the_past_is_read_in_the_newest_versions() -> None:
    """Questions about the past read these events as they lie in the log; with a second version that has to change."""
    read_in_sql = {UserCreated.type, UserChanged.type, AwardRevoked.type}
    assert not {name for name, _ in UPCASTERS} & read_in_sql


# Limits


def test_a_recomputation_is_bounded(log: ProjectedLog) -> None:
    """What takes too long ends as 503 with what to do, leaves nothing behind, and others go on meanwhile."""

    async def work() -> tuple[Problem, object, object]:
        async with open_reading_pool(log.url, size=1) as pool:
            reader = PoolReader(pool, VisibilityWatermark(), 0.2)
            with pytest.raises(Problem) as raised:
                await reader.recompute("SELECT pg_sleep(30)")
            reading = await reader.read("SELECT current_setting('statement_timeout') AS setting")
            again = await reader.recompute("SELECT 1 AS one")
            return raised.value, reading.rows[0]["setting"], again.rows[0]["one"]

    problem, setting, again = synchronously(work())
    assert (503, "too-large") == (problem.status, problem.code)
    assert problem.headers["Retry-After"].isdecimal()
    assert "LAURELS_RECOMPUTE_SECONDS" in problem.detail
    assert ("0", 1) == (setting, again)


def test_the_wait_for_a_turn_counts(log: ProjectedLog) -> None:
    """However many ask for the past at once, two connections are taken, and nobody waits longer than the limit."""

    async def work() -> tuple[list[object], float, int]:
        async with open_reading_pool(log.url, size=10) as pool:
            reader = PoolReader(pool, VisibilityWatermark(), 0.5)
            started = asyncio.get_running_loop().time()
            asked = [asyncio.create_task(reader.recompute("SELECT pg_sleep(30)")) for _ in range(8)]
            await asyncio.sleep(0)
            assert (await reader.read("SELECT 1 AS one")).rows[0]["one"] == 1
            found: list[object] = list(await asyncio.gather(*asked, return_exceptions=True))
            return found, asyncio.get_running_loop().time() - started, pool.get_size()

    found, seconds, connections = synchronously(work())
    codes = [getattr(error, "code", None) for error in found]
    # Whoever waited in vain is not told that their own question was too large.
    assert ["too-large"] * 2 == codes[:2]
    assert {"too-large", "busy"} == set(codes)
    assert seconds < 3
    assert connections <= 3


def test_many_awards_are_too_many(log: ProjectedLog) -> None:
    """The statistics themselves are bounded by the database, in the middle of their work."""
    synchronously(given_projected(log, EVENTFUL, [recorded(EVENTFUL, PARTITIONS)]))

    async def work() -> Problem:
        await log.fill_awards(200_000)
        async with open_reading_pool(log.url, size=1) as pool:
            reader = PoolReader(pool, VisibilityWatermark(), 0.02)
            with pytest.raises(Problem) as raised:
                await reader.recompute(queries.as_of("max_count"), 2**62, None, False)  # noqa: FBT003 - an argument of SQL
            return raised.value

    assert "too-large" == synchronously(work()).code


async def settled(connection: OwnConnection, moment: datetime) -> bool:
    """Ask whether anything may still be recorded before a moment."""
    return await position_at(connection, moment) is not None


def test_a_moment_is_settled_when_nothing_can_join_it(log: ProjectedLog) -> None:
    """While somebody appends, a moment after the last event may yet get one more; before it, it may not."""
    synchronously(log.restart(recorded(EVENTFUL, PARTITIONS)))

    async def work() -> list[bool]:
        found = []
        reader, writer = await connect(log.url, Role.QUERY), await connect(log.url)
        try:
            moment = datetime.now(UTC)
            found.append(await settled(reader, moment))
            async with writer.transaction():
                await writer.execute("SELECT FROM log_head FOR UPDATE")
                found.append(await settled(reader, moment))
                await writer.execute("UPDATE log_head SET recorded_at = clock_timestamp()")
            found.append(await settled(reader, moment))
            async with writer.transaction():
                await writer.execute("SELECT FROM log_head FOR UPDATE")
                found.append(await settled(reader, moment))
            return found
        finally:
            reader.terminate()
            writer.terminate()

    assert [True, False, True, True] == synchronously(work())


# Broken twins: what the comparison is worth

EVENTFUL = history_of(
    [
        define(1, "en", 0, repeatable=True),
        create(1, "ru", "Asia/Tokyo"),
        create(2, "en", "America/New_York"),
        award(0, 0, 3, 10),
        award(1, 0, 3, 10),
        award(1, 0, 2, 10),
        award(0, 0, 2, 10),
        award(1, 1, 1, 10),
        award(0, 0, 7, 10),
        award(0, 0, 6, 10),
        change(0, 0, None, "Pacific/Kiritimati"),
        change(1, 4, "en", "Pacific/Honolulu"),
        award(2, 0, 1, 23),
        award(2, 0, 1, 23),
        award(2, 0, 1, 10),
        award(2, 1, 5, 10),
        revoke(0),
        award(1, 0, 5, 23),
        award(0, 1, 9, 10),
        revoke(3),
        create(3, "en", "UTC"),
        award(3, 1, 2, 10),
        award(3, 0, 2, 10),
        revoke(1),
        revoke(4),
        revoke(0),
        revoke(0),
        change(0, 2, None, "UTC"),
        award(1, 0, 1, 10),
    ]
)

TWINS = {
    "awards of later count": ("award_id <= $1::bigint", "true"),
    "an award revoked later never stood": ("position > $1\n    ) r", "position > $1 AND false\n    ) r"),
    "a revoked award stands twice until that is projected": ("a.user_id = r.user_id", "false"),
    "an award made and revoked later stood": ("r.award_id <= $1", "true"),
    "awards of after the moment count": ("<= coalesce($2::timestamptz,", "<= greatest($2::timestamptz,"),
    "revoked awards of after the moment count": ("r.awarded_at <= coalesce($2, 'infinity')", "true"),
    "the moment itself does not count": ("<= coalesce($2::timestamptz", "< coalesce($2::timestamptz"),
    "who registered later is there": ("t.created_position <= $1", "true"),
    "names are those of today": ("u.updated_position > $1", "false"),
    "names are the first ones": ("ORDER BY e.position DESC", "ORDER BY e.position"),
    "time zones are those of today": ("coalesce(earlier.data ->> 'user_timezone', u.user_timezone)", "u.user_timezone"),
    "zero points count as points": ("max(award_id) FILTER (WHERE points > 0)", "max(award_id)"),
    "the first award keeps the tie": ("max(award_id) AS count_position", "min(award_id) AS count_position"),
    "the lowest of equal gaps is shown": ("BY difference, total_points DESC", "BY difference, total_points"),
    "a shared level is no difference of 0": ("CASE WHEN count(*) > 1", "CASE WHEN false"),
    "the later of equal runs is shown": (
        "streak_days DESC, streak_started_on\n",
        "streak_days DESC, streak_started_on DESC\n",
    ),
    "a day without an award breaks no run": ("local_day + 1)", "local_day + 2)"),
    "yesterday is over": ("ended_on >= today.day - 1", "ended_on >= today.day"),
}


async def differs(log: ProjectedLog, projected: Sequence[Sequence[RecordedEvent]]) -> bool:
    """Tell whether any answer about the eventful history is not the oracle's."""
    present, position = await given_projected(log, EVENTFUL, projected)
    awarded = sorted({f.event.awarded_at for f in EVENTFUL if isinstance(f.event, AchievementAwarded)})
    today = days_around(START.date() - timedelta(1))
    for known_at in (None, *range(position + 1)):
        for as_of in (None, awarded[3], awarded[-2]):
            then = Then(known_at, as_of)
            if expected_answers(present, then, today) != await answers(log, then, today):
                return True
    return False


def lagging() -> list[list[RecordedEvent]]:
    """Return one batch of all but the last events of the user who had an award revoked last."""
    events = recorded(EVENTFUL, PARTITIONS)
    late = [event for event in events if event.type == AwardRevoked.type][-1].partition
    return [[event for event in events if event.partition != late or event.position < len(events) - 5]]


def caught(log: ProjectedLog) -> bool:
    """Tell whether anything is found wrong, with everything projected or with a partition behind."""
    whole = [recorded(EVENTFUL, PARTITIONS)]
    return synchronously(differs(log, whole)) or synchronously(differs(log, lagging()))


def test_an_eventful_past_is_recomputed(log: ProjectedLog) -> None:
    """The history that the broken twins fail on is no trap: sound statements give the oracle's answers."""
    assert not caught(log)


@pytest.mark.parametrize("twin", TWINS)
def test_a_broken_twin_is_caught(log: ProjectedLog, monkeypatch: pytest.MonkeyPatch, twin: str) -> None:
    """A recomputation with one fault put in is told from a sound one."""
    sound, broken = TWINS[twin]
    assert any(sound in queries.as_of(question) for question in QUESTIONS.values()), "the fault has nowhere to go"
    monkeypatch.setattr(projected_log, "as_of", lambda question: queries.as_of(question).replace(sound, broken))
    assert caught(log)
