"""Records that could not be applied: kept with their bytes, error and place, until an operator decides."""

import logging
from collections.abc import Sequence
from typing import Final

from projector.batch import Poison, fill_where, lift_where
from projector.projections import STATEMENTS
from shared.read_models import PROJECTED_CHANNEL, schema_name
from shared.runtime.database import Connection, Record
from shared.runtime.metrics import QUARANTINED

logger = logging.getLogger(__name__)

# A record that moves no checkpoint is read again after a restart.
PUT_ASIDE: Final = """
INSERT INTO quarantine (generation, partition, position, user_id, kafka_offset, record, error, applied)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.generation = $1 AND q.partition = $2 AND q.kafka_offset = $5 AND q.record IS NOT DISTINCT FROM $6)
"""
MARK: Final = "INSERT INTO incomplete_users (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
LIST: Final = """
SELECT quarantine_id, generation, partition, position, user_id, kafka_offset, error, applied, quarantined_at
FROM quarantine ORDER BY quarantine_id
"""
SHOW: Final = "SELECT * FROM quarantine WHERE quarantine_id = $1"
DROP: Final = "DELETE FROM quarantine WHERE quarantine_id = $1"
LOCK_PROGRESS: Final = "SELECT position FROM progress WHERE generation = $1 AND partition = $2 FOR UPDATE"

LEAVE_LEVELS: Final = """
INSERT INTO moves (old_achievements, old_points)
SELECT total_achievements, total_points FROM user_totals WHERE user_id = $1
"""
ROWS_OF_USER: Final = ("user_awards", "user_streaks", "user_totals", "users")
AND_APPLICABLE: Final = """ AND position <= $2 AND position NOT IN (
    SELECT position FROM quarantine
    WHERE generation = $3 AND NOT applied AND position IS NOT NULL AND quarantine_id <> $4)"""
EVENTS_OF_USER: Final = "user_id = $1" + AND_APPLICABLE
ROWS_OF_ACHIEVEMENT: Final = ("achievement_texts", "achievements")
ACHIEVEMENT_OF: Final = "SELECT (data ->> 'achievement_id')::bigint FROM events WHERE position = $1"
EVENTS_OF_ACHIEVEMENT: Final = (
    "type IN ('achievement-defined', 'achievement-translated') AND (data ->> 'achievement_id')::bigint = $1"
    + AND_APPLICABLE
)
UNMARK: Final = """
DELETE FROM incomplete_users WHERE user_id = $1 AND NOT EXISTS (
    SELECT FROM quarantine WHERE generation = $2 AND user_id = $1 AND NOT applied)
"""


class NothingToRetry(Exception):
    """The record has no place in the log, or is not there; the message is one sentence."""


async def put_aside(
    connection: Connection, generation: int, poison: Poison, error: Exception, *, applied: bool
) -> None:
    """Keep a record, in the caller's transaction. `applied` tells that the log had the event, so nothing is missing."""
    what = f"{type(error).__name__}: {error}"
    logger.error("partition %d, position %s was put aside: %s", poison.partition, poison.position, what)
    await connection.execute(
        PUT_ASIDE,
        generation,
        poison.partition,
        poison.position,
        poison.user_id,
        poison.kafka_offset,
        poison.record,
        what,
        applied,
    )
    if not applied and poison.user_id is not None:
        await connection.execute(MARK, poison.user_id)
    QUARANTINED.inc()


async def listed(connection: Connection) -> Sequence[Record]:
    """Return all records that were put aside, without their bytes."""
    return await connection.fetch(LIST)


async def shown(connection: Connection, quarantine_id: int) -> Record | None:
    """Return one record with its bytes."""
    return await connection.fetchrow(SHOW, quarantine_id)


async def drop(connection: Connection, quarantine_id: int) -> bool:
    """Forget a record; return whether there was one. Its user stays marked: something is missing all the same."""
    return await connection.execute(DROP, quarantine_id) == "DELETE 1"


async def retry(connection: Connection, quarantine_id: int) -> None:
    """Apply a record's event from the log, in one transaction, on a session like a projector's own.

    The rows of a user or an achievement are folded anew from their events: later ones may have been applied. Raises
    NothingToRetry, or the database's error if the event still cannot be applied; then nothing has changed.
    """
    async with connection.transaction():
        row = await shown(connection, quarantine_id)
        if row is None:
            raise NothingToRetry(f"There is no quarantined record {quarantine_id}.")
        if schema_name(row["generation"]) != await connection.fetchval("SELECT current_schema()"):
            raise NothingToRetry("The record is of a generation that is gone; drop it.")
        if not row["applied"]:
            await _apply(connection, row)
        await connection.execute(DROP, quarantine_id)
        if row["user_id"] is not None:
            await connection.execute(UNMARK, row["user_id"], row["generation"])
        await connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")


async def _apply(connection: Connection, row: Record) -> None:
    if row["position"] is None:
        raise NothingToRetry("The record says no position in the log, so nothing can be applied; drop it.")
    projected = await connection.fetchval(LOCK_PROGRESS, row["generation"], row["partition"])
    if row["user_id"] is None:
        condition, whose = EVENTS_OF_ACHIEVEMENT, await connection.fetchval(ACHIEVEMENT_OF, row["position"])
        for table in ROWS_OF_ACHIEVEMENT:
            await connection.execute(f"DELETE FROM {table} WHERE achievement_id = $1", whose)  # noqa: S608 - our own names
    else:
        condition, whose = EVENTS_OF_USER, row["user_id"]
        await connection.execute(LEAVE_LEVELS, whose)
        for table in ROWS_OF_USER:
            await connection.execute(f"DELETE FROM {table} WHERE user_id = $1", whose)  # noqa: S608 - our own names
    arguments = whose, projected, row["generation"], row["quarantine_id"]
    await fill_where(connection, condition, *arguments)
    await lift_where(connection, condition, *arguments)
    for statement in STATEMENTS:
        await connection.execute(statement)
