"""Restoring into a real PostgreSQL: tables that equal those of the command side, and nothing of what is wrong."""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from all_in_one.embedded_postgres import Connection, EmbeddedPostgres
from all_in_one.migrations import migrate
from command_api import group_commit, restoring
from command_api.decisions import Command
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.users import ChangeUser, CreateUser
from command_api.group import Submission
from command_api.restoring import BadLog, NotEmpty
from command_api.tables import metadata
from projector import generation
from projector.loading import load_from_log
from projector.verification import verify
from shared.domain.names import Name
from shared.event_store import reading
from shared.event_store.log import APPENDED_CHANNEL, head_position
from shared.event_store.reading import all_events
from shared.events import codec
from shared.events.envelope import RecordedEvent
from shared.events.json_lines import to_line
from shared.events.types import (
    EVENT_TYPES,
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    UserChanged,
    UserCreated,
)
from shared.runtime.database import OwnConnection, Role, connect
from tests.support.histories import (
    LANGUAGES,
    History,
    Wish,
    award,
    change,
    create,
    define,
    histories,
    history_of,
    recorded,
    revoke,
    translate,
)
from tests.support.projected_log import HASTY
from tests.support.synchronously import synchronously

SOURCE_PARTITIONS, PARTITIONS = 4, 3

WRITE_MODEL = [table for table in metadata.sorted_tables if table.name not in {"idempotency", "relay_lease"}]
NOTHING_YET = """
UPDATE log_head SET position = 0, recorded_at = 'epoch', catalogue_position = 0, last_user_id = 0,
    last_achievement_id = 0, partition_positions = array_fill(0::bigint, ARRAY[cardinality(partition_positions)])
"""
EMPTY = "; ".join(
    [
        "DELETE FROM events",
        *(f"DELETE FROM {table.fullname}" for table in reversed(WRITE_MODEL)),  # noqa: S608 - our own names
        NOTHING_YET,
    ]
)
HEAD = "SELECT position, recorded_at, catalogue_position, last_user_id, last_achievement_id FROM log_head"
LOG = "SELECT position, event_id, type, schema_version, user_id, data, recorded_at FROM events ORDER BY position"
PARTITION_POSITIONS = """
SELECT partition_positions, ARRAY(
    SELECT coalesce((SELECT max(position) FROM events WHERE partition = p), 0)
    FROM generate_series(0, cardinality(partition_positions) - 1) AS p ORDER BY p) AS expected
FROM log_head
"""

RICH = history_of(
    [
        define(1, "en", 5, repeatable=False),
        define(2, "ru", 0, repeatable=False),
        create(1, "ru", "Asia/Tokyo"),
        award(0, 1, 0, 0),
        award(1, 1, 2, 10),
        award(1, 2, 2, 10),
        award(1, 0, 2, 10),
        revoke(2),
        award(1, 1, 1, 10),
        revoke(0),
        change(0, 0, "ru", None),
        create(0, "en", "UTC"),
        translate(1, "ru", 0),
        translate(0, "en", 2),
        translate(0, "ru", 1),
        define(2, "en", 1, repeatable=True),
    ]
)
"""Names that passed on, texts that were replaced, once-only awards that were taken back and given again.

Its last three events, a group, change two achievements.
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database, seen by its superuser and by the command side."""

    url: str
    admin: OwnConnection
    command: OwnConnection

    async def restart(self) -> None:
        """Empty it."""
        await self.admin.execute(EMPTY)

    async def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return [tuple(row) for row in await self.admin.fetch(query)]

    async def write_model(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of every table that decisions rest on."""
        return {table.name: sorted(await self.fetch(f"SELECT * FROM {table.fullname}")) for table in WRITE_MODEL}  # noqa: S608 - put together from constants

    async def everything(self) -> list[object]:
        """Return all that the command side works with, but partitions."""
        return [await self.write_model(), await self.fetch(HEAD), await self.fetch(LOG)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("restoring"), settings=HASTY)
    yield synchronously(postgres.start())
    synchronously(postgres.stop())


def made(server: Connection, name: str, partitions: int) -> Database:
    async def make() -> None:
        connection = await connect(server.url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    async def opened(url: str) -> Database:
        database = Database(url, await connect(url), await connect(url, Role.COMMAND))
        # The log refuses DELETE to everybody; this setting, which only a superuser has, silences its trigger.
        await database.admin.execute("SET session_replication_role = replica")
        return database

    synchronously(make())
    url = Connection(server.host, server.password, database=name).url
    migrate(url, partitions)
    return synchronously(opened(url))


@pytest.fixture(scope="module")
def databases(server: Connection) -> Iterator[tuple[Database, Database]]:
    """Give one that the command side fills, and one with another number of partitions to restore into."""
    found = made(server, "source", SOURCE_PARTITIONS), made(server, "target", PARTITIONS)
    yield found
    for database in found:
        database.admin.terminate()
        database.command.terminate()


@pytest.fixture
def target(databases: tuple[Database, Database]) -> Database:
    """Give an empty database to restore into."""
    synchronously(databases[1].restart())
    return databases[1]


def commands_of(history: History) -> Iterator[Command]:
    """Yield the commands that lead to a history."""
    keys: dict[int, str] = {}
    for _, event, _ in history:
        match event:
            case UserCreated():
                name = Name(event.username, event.username_key)
                yield CreateUser(username=name, user_language=event.user_language, user_timezone=event.user_timezone)
                keys[event.user_id] = event.username_key
            case UserChanged():
                yield ChangeUser(
                    username_key=keys[event.user_id],
                    new_username=Name(event.username, event.username_key),
                    user_language=event.user_language,
                    user_timezone=event.user_timezone,
                )
                keys[event.user_id] = event.username_key
            case AchievementDefined():
                yield DefineAchievement(
                    achievement_name=Name(event.achievement_name, event.achievement_key),
                    achievement_description=event.achievement_description,
                    achievement_language=event.achievement_language,
                    achievement_point=event.achievement_point,
                    repeatable=event.repeatable,
                )
            case AchievementTranslated():
                yield TranslateAchievement(
                    achievement_id=event.achievement_id,
                    achievement_language=event.achievement_language,
                    achievement_name=Name(event.achievement_name, event.achievement_key),
                    achievement_description=event.achievement_description,
                )
            case AchievementAwarded():
                yield AwardAchievement(
                    username_key=keys[event.user_id], achievement_id=event.achievement_id, awarded_at=event.awarded_at
                )
            case AwardRevoked():
                yield RevokeAward(award_id=event.award_id, reason=event.reason)


async def append(database: Database, history: History) -> None:
    """Let the command side record a history, three commands a group."""
    async with group_commit.running(database.url) as (writer, _):
        commands = list(commands_of(history))
        for first in range(0, len(commands), 3):
            answers = await writer.submit_many([Submission(command) for command in commands[first : first + 3]])
            assert all(answer.status < 300 for answer in answers), answers


async def export(database: Database) -> list[bytes]:
    upto = await head_position(database.command)
    return [to_line(event) async for events in all_events(database.command, upto) for event in events]


def restore(database: Database, lines: Iterable[bytes]) -> int:
    return synchronously(restoring.restore(database.command, lines, frozenset(LANGUAGES)))


def refused(database: Database, lines: Iterable[bytes]) -> str:
    """Restore what is wrong; return what is said of it, once it is sure that nothing is left."""
    before = synchronously(database.everything())
    with pytest.raises((BadLog, NotEmpty)) as caught:
        restore(database, lines)
    assert before == synchronously(database.everything())
    return str(caught.value)


def rich() -> list[RecordedEvent]:
    return recorded(RICH, 1)


def lines_of(rows: Iterable[RecordedEvent]) -> list[bytes]:
    return [to_line(row) for row in rows]


def with_data(row: RecordedEvent, **data: object) -> RecordedEvent:
    return replace(row, data=json.dumps(json.loads(row.data) | data))


@given(histories())
@example(RICH)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_restored_equals_what_was_recorded(databases: tuple[Database, Database], history: History) -> None:
    """The log, its head and every table that decisions rest on equal those of the command side, row for row."""
    source, target = databases
    synchronously(source.restart())
    synchronously(target.restart())
    synchronously(append(source, history))

    assert len(history) == restore(target, synchronously(export(source)))

    assert synchronously(source.everything()) == synchronously(target.everything())
    ((positions, expected),) = synchronously(target.fetch(PARTITION_POSITIONS))
    assert PARTITIONS == len(positions)
    assert expected == positions
    wrong = "SELECT count(*) FROM events WHERE partition <> coalesce(user_id, 0) % 3"
    assert [(0,)] == synchronously(target.fetch(wrong))


def test_the_history_of_these_tests_is_rich() -> None:
    """Every type of event is in it, and each of the tables ends up with rows that others replaced."""
    assert set(EVENT_TYPES) == {row.type for row in rich()}
    assert len(rich()) > 15


def test_an_export_ends_where_the_log_ended_when_it_began(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is read, it has every event up to there and none that came later."""
    source = databases[0]
    synchronously(source.restart())
    synchronously(append(source, RICH))

    async def positions(upto: int) -> list[int]:
        return [event.position async for events in all_events(source.command, upto) for event in events]

    for batch in (1, 3, 1_000):
        monkeypatch.setattr(reading, "BATCH", batch)
        for upto in (0, 1, 9, len(RICH)):
            assert list(range(1, upto + 1)) == synchronously(positions(upto))


def test_a_log_in_several_pieces_is_one(target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events there are, they are copied in pieces, and nothing is lost between two of them."""
    restore(target, lines_of(rich()))
    whole = synchronously(target.everything())
    for chunk in (1, 5, len(rich())):
        monkeypatch.setattr(restoring, "CHUNK", chunk)
        synchronously(target.restart())
        assert len(rich()) == restore(target, lines_of(rich()))
        assert whole == synchronously(target.everything())


def test_old_versions_stay_as_they_were_and_count_as_the_newest(
    target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log keeps what was recorded; what decisions rest on is made of the upcasted events."""
    monkeypatch.setitem(codec.SCHEMA_VERSIONS, "user-created", 2)
    monkeypatch.setitem(codec.UPCASTERS, ("user-created", 1), lambda data: {**data, "user_timezone": "Asia/Tokyo"})
    monkeypatch.setattr(restoring, "CHUNK", 4)
    rows = [replace(row, schema_version=1) for row in recorded(history_of([create(1, "en", "UTC")]), 1)]
    newest = replace(with_data(rows[2], user_id=3, username_key="new", username="New"), schema_version=2)
    rows.append(replace(newest, position=4, user_id=3, event_id=uuid4()))

    restore(target, lines_of(rows))

    stored = "SELECT schema_version, data ->> 'user_timezone' FROM events WHERE type = 'user-created' ORDER BY position"
    assert [(1, "UTC"), (1, "UTC"), (2, "UTC")] == synchronously(target.fetch(stored))
    counted = "SELECT user_timezone FROM write_model.users ORDER BY user_id"
    assert [("Asia/Tokyo",), ("Asia/Tokyo",), ("UTC",)] == synchronously(target.fetch(counted))


def test_whoever_follows_the_log_hears_of_it(target: Database) -> None:
    """Projector and relay start at once, and not only when they look by themselves."""

    async def heard() -> str:
        payload = asyncio.get_running_loop().create_future()
        listener = await connect(target.url, Role.RELAY)
        try:
            await listener.add_listener(APPENDED_CHANNEL, lambda *message: payload.set_result(message[-1]))
            assert len(rich()) == await restoring.restore(target.command, lines_of(rich()), frozenset(LANGUAGES))
            async with asyncio.timeout(10):
                return str(await payload)
        finally:
            listener.terminate()

    assert str(len(rich())) == synchronously(heard())


def test_nothing_is_restored_over_a_log(target: Database) -> None:
    """Only an empty instance is filled; one that has a single event is left as it is."""
    restore(target, lines_of(rich())[:1])
    assert "The log is at position 1; only an empty instance can be filled." == refused(target, lines_of(rich()))


def test_a_file_without_events_is_refused(target: Database) -> None:
    """Whoever restores nothing has the wrong file; the instance stays empty and can be filled."""
    assert "there is no event in it" == refused(target, [])
    assert 3 == restore(target, lines_of(rich()[:3]))


@pytest.mark.parametrize("chunk", [1, 4, 1_000])
@pytest.mark.parametrize("place", [1, 6, 14])
def test_a_bad_line_is_named_and_leaves_nothing(
    target: Database, monkeypatch: pytest.MonkeyPatch, place: int, chunk: int
) -> None:
    """Wherever it comes, its number is told, and what came before it is taken back."""
    monkeypatch.setattr(restoring, "CHUNK", chunk)
    lines = lines_of(rich())
    cut = [*lines[:place], lines[place][:-20], *lines[place + 1 :]]
    assert f"line {place + 1}: it is not JSON, or it is cut off" == refused(target, cut)
    gap = [*lines[:place], *lines[place + 1 :]]
    assert f"line {place + 1}: position {place + 2} does not follow on {place}" == refused(target, gap)


@pytest.mark.parametrize("chunk", [1, 4, 1_000])
@pytest.mark.parametrize("place", [1, 5, 14])
def test_an_id_that_comes_twice_is_named(
    target: Database, monkeypatch: pytest.MonkeyPatch, place: int, chunk: int
) -> None:
    """An event's id is what repeated commands are known by, so it is there once."""
    monkeypatch.setattr(restoring, "CHUNK", chunk)
    rows = rich()
    rows[place] = replace(rows[place], event_id=rows[0].event_id)
    assert f"line {place + 1}: another event has this id" == refused(target, lines_of(rows))


def first_of(type_name: str) -> int:
    return next(index for index, row in enumerate(rich()) if row.type == type_name)


@pytest.mark.parametrize("award_id", [1, 6, 8, 1_000])
def test_a_revocation_of_nothing_is_named(target: Database, award_id: int) -> None:
    """What is revoked has to be an award of that user and achievement."""
    place = first_of("award-revoked")
    rows = rich()
    rows[place] = with_data(rows[place], award_id=award_id)
    assert f"line {place + 1}: it revokes what is no award of this user" == refused(target, lines_of(rows))


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ([award(0, 0, 0, 0), revoke(0)], "the award that it revokes is revoked already"),
        (
            [define(1, "en", 5, repeatable=False), award(0, 1, 0, 0)],
            "the user holds this achievement, which is awarded once only",
        ),
    ],
)
def test_what_happens_only_once_is_refused_a_second_time(target: Database, wishes: list[Wish], said: str) -> None:
    """An award is revoked once, and what is awarded once only is held once; the second line is named."""
    rows = recorded(history_of(wishes), 1)
    again = replace(rows[-1], position=len(rows) + 1, event_id=uuid4())
    if again.type == "achievement-awarded":
        again = with_data(again, award_id=again.position)
    assert f"line {again.position}: {said}" == refused(target, lines_of([*rows, again]))


def test_trouble_with_the_lines_leaves_nothing(target: Database) -> None:
    """A file that turns out to be damaged at its end is as if it had never been read."""

    def damaged() -> Iterator[bytes]:
        yield from lines_of(rich())
        raise ConnectionError

    before = synchronously(target.everything())
    with pytest.raises(ConnectionError):
        restore(target, damaged())
    assert before == synchronously(target.everything())


# Lines that somebody changed

BESIDE = 2
LATER: tuple[Command, ...] = (
    CreateUser(username=Name("Later", "later"), user_language="en", user_timezone="Asia/Tokyo"),
    ChangeUser(username_key="later", user_language="ru"),
    DefineAchievement(
        achievement_name=Name("Later", "later"),
        achievement_description="",
        achievement_language="en",
        achievement_point=7,
        repeatable=False,
    ),
)
VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1, 2, 3, 4, 1.0, 20, 2**31, 2**53, 2**62, 2**63, [], {}),
    *("", "/", "\u202e", "\u200d", "a" * 100_000, "ada", "Ada", "боб", "en", "zz", "UTC", "Nowhere/Land", "1", "3"),
    *("9999-12-31", "2026-03-09", "2026-W11", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-03-10T22:00:00Z"),
    *("0001-01-01T00:00:00+05:00", "20260310T220000Z", "user-created", "award-revoked", "achievement-awarded"),
)


@st.composite
def changed_lines(draw: st.DrawFn) -> list[bytes]:
    """Draw the lines of a rich log with a field or two set to another value, taken away, or taken from another line."""
    lines = [json.loads(line) for line in lines_of(rich())]
    for _ in range(draw(st.integers(1, 2))):
        line = draw(st.sampled_from(lines))
        of = draw(st.sampled_from([line, line["data"], line["data"]]))
        name = draw(st.sampled_from(sorted(of)))
        others = [other[name] for at in lines for other in (at, at["data"]) if name in other]
        change = draw(st.sampled_from(["set", "set", "copy", "delete"]))
        del of[name]
        if change != "delete":
            of[name] = draw(st.sampled_from(VALUES if change == "set" else others))
        if name == "data":
            break
    return [json.dumps(line).encode() for line in lines]


@given(changed_lines())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_changed_log_is_refused_or_as_good_as_any(databases: tuple[Database, Database], lines: list[bytes]) -> None:
    """Either a line is named and nothing is left, or every kind of command goes on and the read models are right."""
    target = databases[1]
    synchronously(target.restart())
    try:
        restore(target, lines)
    except BadLog as refusal:
        said: str | None = str(refusal)
    else:
        said = None
    if said is None:
        synchronously(go_on(target))
    else:
        assert re.match(r"line \d+: ", said), said
        assert [(0,)] == synchronously(target.fetch("SELECT count(*) FROM events"))


async def go_on(database: Database) -> None:
    """Give commands of every kind, then build the read models and verify them."""
    async with group_commit.running(database.url) as (writer, _):

        async def given(*commands: Command) -> list[int]:
            answers = await writer.submit_many([Submission(command) for command in commands])
            return [answer.status for answer in answers]

        assert [201, 200, 201] == await given(*LATER)
        (head,) = await database.fetch("SELECT last_user_id, last_achievement_id FROM log_head")
        translation = TranslateAchievement(
            achievement_id=head[1],
            achievement_language="ru",
            achievement_name=Name("Später", "später"),
            achievement_description="",
        )
        assert [201] == await given(translation)
        users = [key for (key,) in await database.fetch("SELECT username_key FROM write_model.users")]
        assert head[0] == len(users)
        awards = [AwardAchievement(username_key=key, achievement_id=n + 1) for key in users for n in range(head[1])]
        assert {201, 409} >= set(await given(*awards))
        assert [204] == await given(RevokeAward(award_id=await head_position(database.command)))
        changes = [ChangeUser(username_key=key, user_timezone="Pacific/Kiritimati") for key in users]
        assert {200} == set(await given(*changes))
    await verify_read_models(database)


async def verify_read_models(database: Database) -> None:
    projector = await connect(database.url, Role.PROJECTOR)
    try:
        await generation.create(projector, BESIDE)
        await load_from_log(database.url, BESIDE, await head_position(database.command))
        for statement in generation.create_indexes_sql(BESIDE):
            await projector.execute(statement)
        assert 0 == (await verify(database.url, BESIDE)).drift
    finally:
        await generation.drop(projector, BESIDE)
        await projector.close()
