"""The relation `batch`: what every projection reads, and the two ways to fill it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from shared.events.cloudevents import Consumed
from shared.events.codec import SCHEMA_VERSIONS, UPCASTERS, upcast
from shared.runtime.database import Connection

# An award that lacks anything fits no row, and is put aside.
WHOLE: Final = """
CHECK (type NOT IN ('achievement-awarded', 'award-revoked') OR (
    user_id IS NOT NULL AND award_id IS NOT NULL AND achievement_id IS NOT NULL AND points IS NOT NULL
    AND awarded_at IS NOT NULL AND local_day IS NOT NULL))
"""

CREATE: Final = (
    f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS batch (
        position bigint, partition smallint, type text, user_id bigint, recorded_at timestamptz, data jsonb,
        award_id bigint, achievement_id bigint, points integer, awarded_at timestamptz, local_day date, {WHOLE}
    ) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS total_changes (
        old_achievements bigint, old_points bigint, total_achievements bigint, total_points bigint
    ) ON COMMIT DELETE ROWS
    """,
)
"""`total_changes`: each user's totals before and after the batch, written by the fold of totals, read by the levels."""

# Awards go into a table in the order of its key in half the time, and projections group by users.
ORDER: Final = "user_id, awarded_at, award_id"

# What awards say is in columns of its own, so their data need not be copied.
COLUMNS: Final = """
    position, partition, type, user_id, recorded_at,
    CASE WHEN type NOT IN ('achievement-awarded', 'award-revoked') THEN data END AS data,
    (data ->> 'award_id')::bigint AS award_id, (data ->> 'achievement_id')::bigint AS achievement_id,
    (data ->> 'points')::integer AS points, (data ->> 'awarded_at')::timestamptz AS awarded_at,
    (data ->> 'local_day')::date AS local_day
"""

SESSION: Final = {
    # A plan is made when `batch` is small and kept when it is large, or the other way round. Without these, such a plan
    # may scan a whole table for one event; look-ups by index are right for both.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    # The log is the truth: rows that a crash of the server takes back, checkpoint included, are projected again.
    "synchronous_commit": "off",
    "client_min_messages": "warning",
    # A projector that hangs in the middle of a batch must not keep its partitions and the levels from the others.
    "idle_in_transaction_session_timeout": "10s",
}

BULK_SESSION: Final = {
    # Large batches into tables without indexes: joins by hash, sorts in memory, and statistics instead of guesses.
    "work_mem": "256MB",
    "maintenance_work_mem": "256MB",
    "temp_buffers": "256MB",
    # To decode an event takes longer than to hand it from one process to another.
    "parallel_tuple_cost": "0.01",
    "synchronous_commit": "off",
    "client_min_messages": "warning",
}

RECORD: Final = "position, partition, type, schema_version, user_id, recorded_at, data::text AS data"


def in_range(after: str, upto: str, passed: str) -> str:
    """Return SQL for what is in a range of the log and not passed yet, by the partitions' positions."""
    return f"position > {after} AND position <= {upto} AND position > ({passed}::bigint[])[partition + 1]"


RANGE: Final = in_range("$1", "$2", "$3")
COUNT_IN_LOG: Final = f"SELECT count(*) FROM events WHERE {RANGE}"  # noqa: S608 - put together from constants
EVENT_IN_LOG: Final = f"""
SELECT partition, user_id, convert_to(data::text, 'UTF8') AS record FROM events WHERE {RANGE}
"""  # noqa: S608 - the same

FROM_RECORDS: Final = f"""
INSERT INTO batch SELECT {COLUMNS} FROM (
    SELECT position, partition, type, schema_version, user_id, recorded_at, data::jsonb AS data
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[])
        AS r (position, partition, type, schema_version, user_id, recorded_at, data)
) AS records
WHERE {{newest}} ORDER BY {ORDER}
"""  # noqa: S608 - the same

UPCAST_LIMIT: Final = 10_000
"""Events that are upcasted at a time: after a change of version it may be the whole log that is upcasted."""
MANY: Final = 100_000
"""So many events are worth a relation of their own."""
EVERYTHING: Final = 2**63 - 1
"""A position that no event passes: a partition that is left out of a batch stands there."""


class UnknownEvents(Exception):
    """Events are of a type or version that this code does not know: a newer one has to project them."""


class UnreadableEvent(Exception):
    """An event of an older version could not be upcasted to the newest."""


class MissingEvents(Exception):
    """The gapless log has a gap: the database has lost rows."""


@dataclass(frozen=True, slots=True)
class Advance:
    """How a batch moves one partition's checkpoint; `kafka_offset` is the next to read, None on the log's own feed."""

    partition: int
    old: int
    new: int
    epoch: int
    kafka_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A partition that a projector may write: where it is, and under which epoch."""

    position: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that could not be applied: where it was, whose it is, and its bytes."""

    partition: int
    position: int | None
    user_id: int | None
    record: bytes | None
    kafka_offset: int | None = None


def of_version(comparison: str) -> str:
    """Return SQL for events whose version compares so, as in `=` or `<`, with the newest of their type known here."""
    known = " ".join(f"WHEN '{name}' THEN schema_version {comparison} {v}" for name, v in SCHEMA_VERSIONS.items())
    return f"CASE type {known} ELSE false END"


async def fill_where(connection: Connection, condition: str, *arguments: Any) -> int:  # noqa: ANN401 - whatever PostgreSQL takes
    """Fill the relation with the events of the log that meet a condition and are of the newest version; count them."""
    status = await connection.execute(f"INSERT INTO batch {decoded(condition)}", *arguments)
    return int(status.split()[-1])


async def create_where(connection: Connection, condition: str) -> int:
    """Do as `fill_where` does, for very many events, with a relation made anew.

    What is to become a new table may be decoded and sorted on several processors, rows that are inserted on one only.
    An index finds what is not an award, which are few.
    """
    await connection.execute("DROP TABLE IF EXISTS batch")
    created = f"CREATE TEMPORARY TABLE batch ON COMMIT DELETE ROWS AS {decoded(condition)}"
    status = await connection.execute(created)
    await connection.execute(f"ALTER TABLE batch ADD {WHOLE}")
    await connection.execute("CREATE INDEX ON batch (type) WHERE type <> 'achievement-awarded'")
    return int(status.split()[-1])


def decoded(condition: str) -> str:
    """Return the query for those events of the log that meet a condition and are of the newest version."""
    return f"SELECT {COLUMNS} FROM events WHERE {condition} AND {of_version('=')} ORDER BY {ORDER}"  # noqa: S608 - our own texts


async def upcast_into_batch(connection: Connection, condition: str, *arguments: Any) -> int:  # noqa: ANN401 - the same
    """Fill the relation, in a transaction, with those of older versions, upcasted to the newest; count them.

    Raises UnreadableEvent.
    """
    if not UPCASTERS:
        return 0
    cursor = await connection.cursor(
        f"SELECT {RECORD} FROM events WHERE {condition} AND {of_version('<')}",  # noqa: S608 - our own texts
        *arguments,
    )
    upcasted = 0
    while rows := await cursor.fetch(UPCAST_LIMIT):
        upcasted += await _fill_from_rows(connection, [tuple(row) for row in rows])
    return upcasted


async def _fill_from_rows(connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
    """Fill the relation with rows of (position, partition, type, schema_version, user_id, recorded_at, data)."""
    if not rows:
        return 0
    columns = [list(column) for column in zip(*map(_newest, rows), strict=True)]
    status = await connection.execute(FROM_RECORDS.format(newest=of_version("=")), *columns)
    return int(status.split()[-1])


def _newest(row: Sequence[Any]) -> Sequence[Any]:
    position, partition, type_name, schema_version, user_id, recorded_at, data = row
    newest = SCHEMA_VERSIONS.get(type_name, 0)
    if schema_version >= newest:
        return row
    try:
        upcasted = upcast(type_name, schema_version, data)
    except (ValueError, LookupError, TypeError) as error:
        message = f"{type_name}, version {schema_version}: {type(error).__name__} {error}"
        raise UnreadableEvent(message) from error
    return position, partition, type_name, newest, user_id, recorded_at, upcasted


def _moved(held: Mapping[int, Held], advances: Sequence[Advance]) -> dict[int, Held]:
    return {**held, **{advance.partition: Held(advance.new, advance.epoch) for advance in advances}}


def array_literal(values: Iterable[int]) -> str:
    """Return SQL for an array of integers, for statements that take no arguments."""
    return f"'{{{','.join(map(str, values))}}}'"


class Batch(Protocol):
    """Some events, and how they move the checkpoints."""

    @property
    def size(self) -> int:
        """How many positions it spans."""

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move once the batch is applied."""

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""

    async def fill(self, connection: Connection) -> int:
        """Fill the relation and return the number of events. Raises UnknownEvents or MissingEvents."""

    def halves(self) -> "tuple[Batch, Batch]":
        """Return two batches that have the same effect one after the other."""

    async def poison(self, connection: Connection) -> Poison:
        """Return the one event of a batch of size 1."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A range of the log, `after` excluded and `upto` included, of the partitions that are held."""

    after: int
    upto: int
    held: Mapping[int, Held]
    partitions: int

    @property
    def size(self) -> int:
        """How many positions it spans."""
        return self.upto - self.after

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move: all to the end of the range, unless they are beyond it."""
        return [
            Advance(partition, held.position, max(held.position, self.upto), held.epoch)
            for partition, held in self.held.items()
        ]

    async def fill(self, connection: Connection) -> int:
        """Fill the relation; no event leaves the database but those of an older version."""
        if self.size < MANY:
            filled = await fill_where(connection, RANGE, *self.arguments())
        else:
            filled = await create_where(connection, in_range(*self._literals()))
        if filled != self.size:
            filled += await upcast_into_batch(connection, RANGE, *self.arguments())
        if filled != self.size and filled != await self._check(connection):
            message = f"events after position {self.after} up to {self.upto} are of a type or version unknown here"
            raise UnknownEvents(message)
        return filled

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""
        return _moved(self.held, self.advances)

    def halves(self) -> "tuple[LogBatch, LogBatch]":
        """Cut the range in two."""
        middle = (self.after + self.upto) // 2
        first = LogBatch(self.after, middle, self.held, self.partitions)
        return first, LogBatch(middle, self.upto, first.held_afterwards, self.partitions)

    async def poison(self, connection: Connection) -> Poison:
        """Return the event as the log has it."""
        row = await connection.fetchrow(EVENT_IN_LOG, *self.arguments())
        if row is None:
            message = f"position {self.upto} is not in the log"
            raise MissingEvents(message)
        return Poison(row["partition"], self.upto, row["user_id"], row["record"])

    async def _check(self, connection: Connection) -> int:
        # Positions are gapless, so only a range that some partition has behind it may hold fewer events than positions.
        held: int = await connection.fetchval(COUNT_IN_LOG, *self.arguments())
        whole = len(self.held) == self.partitions and all(h.position <= self.after for h in self.held.values())
        if whole and held != self.size:
            message = f"the log has {held} events after position {self.after} up to {self.upto}, not {self.size}"
            raise MissingEvents(message)
        return held

    def arguments(self) -> tuple[int, int, list[int]]:
        """Return the arguments of RANGE."""
        passed = [self.held[p].position if p in self.held else EVERYTHING for p in range(self.partitions)]
        return self.after, self.upto, passed

    def _literals(self) -> tuple[str, str, str]:
        after, upto, passed = self.arguments()
        return str(after), str(upto), array_literal(passed)


@dataclass(frozen=True, slots=True)
class Record:
    """A consumed event and the offset after it."""

    partition: int
    event: Consumed
    next_offset: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of Kafka, in order within each partition, all after what is held."""

    records: Sequence[Record]
    held: Mapping[int, Held]

    @property
    def size(self) -> int:
        """How many records it has."""
        return len(self.records)

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move: each to its partition's last record."""
        last = {record.partition: record for record in self.records}
        return [
            Advance(p, self.held[p].position, record.event.position, self.held[p].epoch, record.next_offset)
            for p, record in last.items()
        ]

    async def fill(self, connection: Connection) -> int:
        """Fill the relation; the values are decoded by the database, all at once."""
        rows = [
            (e.position, r.partition, e.type, e.schema_version, e.user_id, e.recorded_at, e.data)
            for r in self.records
            for e in (r.event,)
        ]
        filled = await _fill_from_rows(connection, rows)
        if filled != self.size:
            message = "records are of a type or version unknown here"
            raise UnknownEvents(message)
        return filled

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""
        return _moved(self.held, self.advances)

    def halves(self) -> "tuple[RecordBatch, RecordBatch]":
        """Cut the records in two."""
        middle = len(self.records) // 2
        first = RecordBatch(self.records[:middle], self.held)
        return first, RecordBatch(self.records[middle:], first.held_afterwards)

    async def poison(self, _connection: Connection) -> Poison:
        """Return the record as it was consumed."""
        (record,) = self.records
        event = record.event
        return Poison(record.partition, event.position, event.user_id, event.data.encode(), record.next_offset - 1)
