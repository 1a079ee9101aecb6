"""The relation `batch`, which every projection reads: how it is made, and filled from the log or from records."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from projector.batch import UnreadableEvent
from shared.events.codec import SCHEMA_VERSIONS, UPCASTERS, upcast
from shared.runtime.database import Connection
from shared.runtime.sql import sql

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

UPCAST_LIMIT: Final = 10_000
"""Events that are upcasted at a time: after a change of version it may be the whole log."""


def create_statements() -> tuple[str, str]:
    """Return the statements that make what the folds of a session read and write beside the tables."""
    return sql("projector.sql", "batch"), sql("projector.sql", "total_changes")


def in_range(after: str = "$1", upto: str = "$2", passed: str = "$3") -> str:
    """Return the condition for what is in a range of the log and beyond the partitions' positions in `passed`."""
    return sql("projector.sql", "pieces/range", after=after, upto=upto, passed=passed)


def fill_statement(chosen: str, source: str = "events") -> str:
    """Return the statement that fills the relation with those events that meet a condition, in the newest version."""
    return sql("projector.sql", "fill", source=source, chosen=chosen, newest=_version("="))


async def fill_where(connection: Connection, chosen: str, *arguments: Any) -> int:  # noqa: ANN401 - whatever PostgreSQL takes
    """Fill the relation with the events of the log that meet a condition and are of the newest version; count them."""
    return _count(await connection.execute(fill_statement(chosen), *arguments))


async def recreate_where(connection: Connection, chosen: str) -> int:
    """Do as `fill_where` does, for very many events, with a new relation.

    PostgreSQL decodes and sorts for a new table on several processors, for an INSERT on one only. The index finds what
    is not an award, which are few.
    """
    await connection.execute("DROP TABLE IF EXISTS batch")
    status = await connection.execute(
        sql("projector.sql", "recreate", source="events", chosen=chosen, newest=_version("="))
    )
    await connection.execute(f"ALTER TABLE batch ADD {sql('projector.sql', 'pieces/complete_award')}")
    await connection.execute("CREATE INDEX ON batch (type) WHERE type <> 'achievement-awarded'")
    return _count(status)


async def upcast_into_batch(connection: Connection, chosen: str, *arguments: Any) -> int:  # noqa: ANN401 - the same
    """Fill the relation, in a transaction, with those of older versions, upcasted to the newest; count them.

    Raises UnreadableEvent.
    """
    if not UPCASTERS:
        return 0
    statement = sql("projector.sql", "older", chosen=chosen, older=_version("<"))
    cursor = await connection.cursor(statement, *arguments)
    upcasted = 0
    while rows := await cursor.fetch(UPCAST_LIMIT):
        upcasted += await fill_from_rows(connection, [tuple(row) for row in rows])
    return upcasted


async def fill_from_rows(connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
    """Fill the relation with rows of (position, partition, type, schema_version, user_id, recorded_at, data)."""
    if not rows:
        return 0
    columns = [list(column) for column in zip(*map(_newest, rows), strict=True)]
    records = sql("projector.sql", "pieces/records")
    return _count(await connection.execute(fill_statement("true", records), *columns))


def array_literal(values: Iterable[int]) -> str:
    """Return SQL for an array of integers, for statements that take no arguments."""
    return f"'{{{','.join(map(str, values))}}}'"


def _version(comparison: str) -> str:
    """Return the condition that an event's version compares so with the newest of its type that this code knows."""
    known = " ".join(f"WHEN '{name}' THEN schema_version {comparison} {v}" for name, v in SCHEMA_VERSIONS.items())
    return f"CASE type {known} ELSE false END"


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


def _count(status: str) -> int:
    return int(status.rsplit(maxsplit=1)[-1])
