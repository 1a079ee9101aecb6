"""A log and its projection in a real PostgreSQL, for tests that fold many small histories."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
import pytest

import projector.log_batch
from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from projector.batch import Held
from projector.generations.lifecycle import create, create_indexes_sql, drop
from projector.generations.loading import load_from_log, load_one
from projector.generations.verification import verify
from projector.log_batch import LogBatch
from projector.record_batch import Record, RecordBatch
from projector.runner import Runner
from query_api.queries import as_of, current
from query_api.reader import PoolReader, Reading
from query_api.routes.explanations import STATS_FIELDS, USER_STATS
from query_api.sessions import open_reading_pool
from query_api.time_travel import EVERYTHING
from shared.events.cloudevents import Consumed, from_record, to_headers
from shared.events.envelope import RecordedEvent, partition_of
from shared.read_models.generations import schema_name, visible_position
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import OwnConnection, Role, connect
from shared.runtime.database import Record as DatabaseRecord
from tests.support import oracle
from tests.support.synchronously import synchronously

PARTITIONS = 3
"""Fewer than there are users, so that users share partitions with each other and with the catalogue."""
GENERATION = 1
BESIDE = 2
QUESTIONS = {
    "max_count": "max_count",
    "max_points": "max_points",
    "difference": "max_min_difference",
    "longest": "longest_streaks",
    "current": "current_streaks",
}
# The data are thrown away, so nothing has to reach the disk.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "1GB"}


class Then(NamedTuple):
    """A moment of the past that is asked for."""

    known_at: int | None
    as_of: datetime | None


EMPTY = (
    "DELETE FROM events",
    "DELETE FROM quarantine",
    "UPDATE progress SET position = 0, kafka_offset = NULL",
)

INDEXES = """
SELECT indexname, replace(indexdef, schemaname || '.', '') AS definition FROM pg_indexes
WHERE schemaname = $1 ORDER BY indexname
"""


class ProjectedLog:
    """One database with one runner. `held` is what the runner may write, as it stands before the next batch."""

    def __init__(
        self, url: str, admin: OwnConnection, runner: Runner, reader: PoolReader, stack: AsyncExitStack
    ) -> None:
        self.url = url
        self._admin, self._runner, self._reader, self._stack = admin, runner, reader, stack
        self.generation = GENERATION
        self._models: Sequence[ReadModel] = READ_MODELS
        self.held: dict[int, Held] = {}

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to a migrated database as its superuser, as a projector and as the query side."""
        admin = await connect(url)
        # The log refuses DELETE to everybody; this setting, which only a superuser has, silences its trigger.
        await admin.execute("SET session_replication_role = replica")
        stack = AsyncExitStack()
        pool = await stack.enter_async_context(open_reading_pool(url, size=1))
        return cls(url, admin, await Runner.open(url, GENERATION), PoolReader(pool, VisibilityWatermark()), stack)

    async def reopen(self, models: Sequence[ReadModel] = READ_MODELS, generation: int = GENERATION) -> None:
        """Have a new runner, which folds into these read models of a generation."""
        self._runner.close()
        self.generation, self._models = generation, models
        self._runner = await Runner.open(self.url, generation, models)

    async def close(self) -> None:
        """Drop every connection."""
        self._runner.close()
        self._admin.terminate()
        await self._stack.aclose()

    async def restart(self, events: Sequence[RecordedEvent]) -> None:
        """Begin anew: a log of these events, and nothing of them projected."""
        schema = schema_name(self.generation)
        tables = [f"DELETE FROM {schema}.{model.table.name}" for model in self._models]  # noqa: S608 - our own names
        await self._admin.execute("; ".join([*EMPTY, *tables]))
        rows = [
            (e.position, e.event_id, e.partition, e.type, e.schema_version, e.user_id, e.data, e.recorded_at)
            for e in events
        ]
        await self._admin.executemany("INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)", rows)
        last = {event.partition: event.position for event in events}
        await self._admin.execute(
            "UPDATE log_head SET position = $1, partition_positions = $2",
            max(last.values(), default=0),
            [last.get(partition, 0) for partition in range(PARTITIONS)],
        )
        await self.take_over()

    async def take_over(self) -> None:
        """Become the one who projects, under a new epoch."""
        self.held, _ = await self._runner.take_over(range(PARTITIONS))

    async def project(self, batch: LogBatch | RecordBatch) -> None:
        """Apply a batch, and hold what it moved."""
        await self._runner.project(batch)
        self.held = batch.held_afterwards

    def from_log(self, upto: int) -> LogBatch:
        """Return the batch that brings every partition to a position of the log."""
        return LogBatch(min(at.position for at in self.held.values()), upto, self.held, PARTITIONS)

    def from_kafka(self, records: Iterable[Consumed]) -> RecordBatch:
        """Return the batch of these records; their offsets are their positions."""
        found = [Record(partition_of(record.user_id, PARTITIONS), record, record.position + 1) for record in records]
        return RecordBatch(found, {record.partition: self.held[record.partition] for record in found})

    async def project_records(self, records: Iterable[Consumed]) -> None:
        """Apply a batch of records, and hold what it moved beside what stands."""
        batch = self.from_kafka(records)
        await self._runner.project(batch)
        self.held = {**self.held, **batch.held_afterwards}

    async def build(self, upto: int, *, one: str | None = None, many: int = 1) -> oracle.Tables:
        """Build a generation beside, in bulk or by copying all but one projection; return its tables, and drop it.

        Ranges of at least `many` events are loaded as great ones are.
        """
        connection = await connect(self.url, Role.PROJECTOR)
        await create(connection, BESIDE)
        try:
            if one:
                await load_one(self.url, BESIDE, GENERATION, one)
            else:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(projector.log_batch, "MANY", many)
                    await load_from_log(self.url, BESIDE, upto)
            for statement in create_indexes_sql(BESIDE):
                await connection.execute(statement)
            assert await self.indexes(GENERATION) == await self.indexes(BESIDE)
            assert 0 == (await verify(self.url, BESIDE)).drift
            return await self.tables(BESIDE)
        finally:
            await drop(connection, BESIDE)
            await connection.close()

    async def indexes(self, generation: int) -> list[DatabaseRecord]:
        """Return the keys and indexes of a generation, none of which a rebuild may leave out."""
        return await self._admin.fetch(INDEXES, schema_name(generation))

    async def drift(self) -> dict[str, int]:
        """Return how many rows `laurels verify` finds wrong, by table."""
        found = await verify(self.url, self.generation, self._models)
        return {check.table: check.differing for check in found.tables if check.differing}

    async def tables(self, generation: int | None = None) -> oracle.Tables:
        """Return the rows of every read model, sorted, and what is in quarantine where anything is."""
        found = {table: await self.rows(table, columns, generation) for table, columns in oracle.COLUMNS.items()}
        aside = [tuple(row) for row in await self._admin.fetch("SELECT position, error FROM quarantine")]
        return {**found, "quarantine": aside} if aside else found

    async def read_position(self) -> int:
        """Return up to where reads are complete."""
        return await visible_position(self._admin)

    async def position_at(self, moment: datetime) -> int:
        """Return the last position that had been recorded by a moment."""
        return int(await self._admin.fetchval("SELECT position_at($1)", moment))

    async def answer(
        self, question: str, *, include_unawarded: bool, then: Then | None = None
    ) -> dict[str, object] | None:
        """Return the answer of the query side's SQL to one of the statistics, now or then, None for 404."""
        rows = (await self._ask(question, then, include_unawarded)).rows
        if not rows:
            return None
        (row,) = rows
        if question == "difference":
            return _difference(row)
        value = "total_achievements" if question == "max_count" else "total_points"
        return {name: row[name] for name in ("user_id", "username", value, "tied_users")}

    async def streaks(
        self, mode: str, days: int, today: Mapping[str, date], then: Then | None = None
    ) -> list[dict[str, object]]:
        """Return the answer of the query side's SQL to `streak/`, now or then."""
        arguments = (orjson.dumps(today).decode(), days, 2**31 - 1, 0, 100)
        names = (
            "user_id",
            "username",
            "streak_days",
            "streak_started_on",
            "streak_ended_on",
            "current_streak_days",
        )
        rows = (await self._ask(mode, then, *arguments)).rows
        return [{name: row[name] for name in names} for row in rows]

    async def fill_awards(self, count: int) -> None:
        """Let the first user hold so many awards, put straight into the rows."""
        await self._admin.execute(
            f"INSERT INTO generation_{GENERATION}.user_awards "  # noqa: S608 - our own names
            "SELECT 1, now(), n, 1, 10, current_date, now() FROM generate_series(1000, 999 + $1::int) AS n",
            count,
        )

    async def mark_incomplete(self, user_id: int) -> None:
        """Mark a user as one of whom an event is in quarantine."""
        await self._admin.execute(f"INSERT INTO generation_{GENERATION}.incomplete_users VALUES ($1)", user_id)  # noqa: S608 - our own names

    async def incomplete(self, then: Then, today: Mapping[str, date]) -> dict[str, set[bool]]:
        """Return, for each question about the past, what its rows say where they say that they are incomplete."""
        streak = (orjson.dumps(today).decode(), 1, 2**31 - 1, 0, 100)
        found = {}
        for question in QUESTIONS:
            arguments = streak if question in {"longest", "current"} else (False,)
            rows = (await self._ask(question, then, *arguments)).rows
            found[question] = {bool(row["incomplete"]) for row in rows if row["incomplete"]}
        return found

    async def stats(self, username_key: str, today: Mapping[str, date]) -> dict[str, object]:
        """Return the answer of the query side's SQL to `stats/`."""
        days = orjson.dumps(today).decode()
        (row,) = (await self._reader.look_up(USER_STATS, username_key, shared=(days,))).rows
        return {name: row[name] for name in STATS_FIELDS}

    async def positions_of(self, username_key: str) -> list[int]:
        """Return the positions of a user's events, as the query side's SQL lists them."""
        rows = (await self._reader.read(current("user_events"), username_key, 0, 1000)).rows
        return [row["position"] for row in rows if row["position"] is not None]

    async def _ask(self, question: str, then: Then | None, *arguments: object) -> Reading:
        if then is None:
            return await self._reader.read(current(QUESTIONS[question]), *arguments)
        position = EVERYTHING if then.known_at is None else then.known_at
        return await self._reader.recompute(as_of(QUESTIONS[question]), position, then.as_of, *arguments)

    async def rows(self, table: str, columns: Iterable[str], generation: int | None = None) -> list[oracle.Row]:
        """Return the rows of a read model, sorted."""
        source = f"{schema_name(generation or self.generation)}.{table}"
        found = await self._admin.fetch(f"SELECT {', '.join(columns)} FROM {source}")  # noqa: S608 - our own names
        return sorted(tuple(_plain(value) for value in row) for row in found)

    async def execute(self, statement: str, *arguments: object) -> None:
        """Do what only the database's owner may, with the tables of the generation in the search path."""
        path = f"{schema_name(self.generation)}, public"
        await self._admin.execute("SELECT set_config('search_path', $1, false)", path)
        await self._admin.execute(statement, *arguments)

    async def read(self, query: str, *arguments: object) -> Reading:
        """Return the result of a query of the query side's reader."""
        return await self._reader.read(query, *arguments)


@contextmanager
def projected_log(folder: Path) -> Iterator[ProjectedLog]:
    """Run a database with a log in it."""
    postgres = EmbeddedPostgres(folder, settings=HASTY)
    url = synchronously(postgres.start()).url
    try:
        migrate(url, PARTITIONS)
        opened = synchronously(ProjectedLog.open(url))
        try:
            yield opened
        finally:
            synchronously(opened.close())
    finally:
        synchronously(postgres.stop())


def records(events: Sequence[RecordedEvent]) -> dict[int, Consumed]:
    """Return the events as they come out of Kafka, by position."""
    previous: dict[int, int] = {}
    found = {}
    for event in events:
        headers = to_headers(event, previous.get(event.partition, 0))
        found[event.position] = from_record(headers, event.data.encode())
        previous[event.partition] = event.position
    return found


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever PostgreSQL gives
    if isinstance(value, list):
        assert all(run.lower_inc and not run.upper_inc for run in value)
        return tuple((run.lower, run.upper) for run in value)
    return value


def _difference(row: DatabaseRecord) -> dict[str, object]:
    closest = row["min_difference"] is not None
    return {
        "max_difference": row["max_difference"],
        "users_with_max_difference": {
            "max_points_user": _user(row, "top"),
            "min_points_user": _user(row, "bottom"),
        },
        "min_difference": row["min_difference"],
        "users_with_min_difference": {
            "higher_points_user": _user(row, "higher"),
            "lower_points_user": _user(row, "lower"),
        }
        if closest
        else None,
    }


def _user(row: DatabaseRecord, who: str) -> dict[str, object]:
    return {"user_id": row[f"{who}_id"], "username": row[f"{who}_name"], "total_points": row[f"{who}_points"]}


def days_around(day: date) -> dict[str, date]:
    """Return a day for each of the time zones: the west is behind, the east ahead."""
    return {
        "UTC": day,
        "Asia/Tokyo": day,
        "America/New_York": day - timedelta(1),
        "Pacific/Kiritimati": day + timedelta(1),
        "Pacific/Honolulu": day - timedelta(1),
    }
