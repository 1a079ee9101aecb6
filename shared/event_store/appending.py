"""Appends to the log: the one place where events are inserted and the head moves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final
from uuid import UUID

from shared.event_store.log import APPENDED_CHANNEL
from shared.events import codec
from shared.events.envelope import RecordedEvent, partition_of
from shared.events.types import Event
from shared.runtime.database import Connection, OwnConnection
from shared.runtime.sql import sql

LOCK_HEAD: Final = sql(__package__, "lock_head")
APPEND: Final = sql(__package__, "append")
COLUMNS: Final = tuple(RecordedEvent.__slots__)


@dataclass(slots=True, kw_only=True)
class Head:
    """The end of the log: its last position, when that was recorded (UTC), and what the next events are numbered by."""

    position: int
    recorded_at: datetime
    partition_positions: list[int]
    catalogue_position: int
    last_user_id: int
    last_achievement_id: int


async def lock_head(connection: Connection) -> Head:
    """Take the log's one lock until the transaction ends; `recorded_at` is the time to record at."""
    row = await connection.fetchrow(LOCK_HEAD)
    if row is None:
        message = "the log has no head: the migrations did not finish"
        raise LookupError(message)
    return Head(**row)


async def append(
    connection: Connection, head: Head, events: Sequence[Event], event_ids: Sequence[UUID], data: Sequence[str]
) -> None:
    """Append events, with their ids and their encoded data, so that the log ends at `head`, and notify readers.

    The head is locked. Its `partition_positions` are brought up to date here.
    """
    positions = range(head.position - len(events) + 1, head.position + 1)
    subjects = [event.subject for event in events]
    partitions = [partition_of(user_id, len(head.partition_positions)) for user_id in subjects]
    for position, partition in zip(positions, partitions, strict=True):
        head.partition_positions[partition] = position
    types = [event.type for event in events]
    await connection.execute(
        APPEND,
        positions,
        event_ids,
        partitions,
        types,
        [codec.SCHEMA_VERSIONS[type_name] for type_name in types],
        subjects,
        data,
        head.recorded_at,
        head.position,
        head.partition_positions,
        head.catalogue_position,
        head.last_user_id,
        head.last_achievement_id,
        APPENDED_CHANNEL,
    )


async def prepare_copy(connection: Connection) -> None:
    """Create `facts`, a view of the log in the newest version of every event, until the transaction ends."""
    await connection.execute(sql(__package__, "upcasted"))
    await connection.execute(sql(__package__, "facts"))


async def copy_events(connection: OwnConnection, events: Iterable[RecordedEvent]) -> None:
    """Insert events of another log. The head is locked, and moved by `move_head` after the last copy."""
    rows = map(attrgetter(*COLUMNS), events)
    await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)


async def copy_upcasted(connection: OwnConnection, rows: Iterable[tuple[int, str]]) -> None:
    """Add the newest data of events that were copied in an older version, as (position, data), to `facts`."""
    await connection.copy_records_to_table("upcasted", records=rows)


async def move_head(connection: Connection, head: Head) -> None:
    """Move the head over events that were copied, and notify readers."""
    await append(connection, head, [], [], [])


async def probe(connection: Connection, timeout: float) -> None:  # noqa: ASYNC109 - passed on to asyncpg
    """Try, in a transaction, what an append needs: take the head, let a file grow. Raises a database error."""
    await connection.execute(sql(__package__, "probe"), timeout=timeout)
