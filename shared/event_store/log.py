"""The log of record: its tables, and the positions in it.

Positions are gapless and appear in commit order, because an append holds the one row of `log_head`. So a reader needs
nothing but "position greater than mine", and a gap is a fault that is detected.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.runtime.database import ReadSession
from shared.runtime.sql import sql

metadata = sa.MetaData()

events = sa.Table(
    "events",
    metadata,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", UUID, nullable=False, unique=True),
    sa.Column("partition", sa.SmallInteger, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("schema_version", sa.SmallInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger),
    sa.Column("data", JSONB, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("events_of_user", "user_id", "position", postgresql_where=sa.text("user_id IS NOT NULL")),
    sa.Index("revocations_in_log", "position", postgresql_where=sa.text("type = 'award-revoked'")),
)

log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("singleton", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("partition_positions", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("catalogue_position", sa.BigInteger, nullable=False),
    sa.Column("last_user_id", sa.BigInteger, nullable=False),
    sa.Column("last_achievement_id", sa.BigInteger, nullable=False),
    sa.CheckConstraint("singleton", name="log_head_has_one_row"),
    # Updated by every group commit: free space in its page keeps the updates there.
    postgresql_with={"fillfactor": 10},
    comment=(
        "Locked by every append. partition_positions[p + 1] is the last position of partition p; its length is "
        "the number of partitions."
    ),
)

APPENDED_CHANNEL: Final = "laurels_appended"
"""NOTIFY channel; the payload is the new head position."""


class InTheFuture(ValueError):
    """A moment has not come yet."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a generation has projected a partition, and `last`, the last position that the log has of it."""

    generation: int
    partition: int
    position: int
    epoch: int
    last: int

    @property
    def lag(self) -> int:
        """The distance in positions; a partition without news has none."""
        return max(0, self.last - self.position)


async def head_position(connection: ReadSession) -> int:
    """Return the position of the last event, 0 for an empty log."""
    return int(await connection.fetchval("SELECT position FROM log_head"))


async def partition_count(connection: ReadSession) -> int:
    """Return the number of partitions that the log was made with."""
    return int(await connection.fetchval("SELECT cardinality(partition_positions) FROM log_head"))


async def partition_positions(connection: ReadSession) -> list[int]:
    """Return the last position of each partition, 0 for one without events."""
    return list(await connection.fetchval("SELECT partition_positions FROM log_head"))


async def partition_positions_at(connection: ReadSession, position: int) -> list[int] | None:
    """Return the last position of each partition up to a position of the log, None beyond its end."""
    found: list[int] | None = await connection.fetchval(sql(__package__, "partition_positions_at"), position)
    return found


async def read_position(connection: ReadSession, generation: int) -> int:
    """Return the Read-Position of a generation: all events up to it are in its read models."""
    return int(await connection.fetchval("SELECT read_position($1)", generation))


async def checkpoints(connection: ReadSession, *generations: int) -> list[Checkpoint]:
    """Return the checkpoints of some generations beside the log's own positions, in one snapshot."""
    return [Checkpoint(**row) for row in await connection.fetch(sql(__package__, "checkpoints"), generations)]


async def recorded_at(connection: ReadSession, position: int) -> datetime | None:
    """Return when the event at a position was recorded (UTC)."""
    found: datetime | None = await connection.fetchval("SELECT recorded_at FROM events WHERE position = $1", position)
    return found


async def position_at(connection: ReadSession, moment: datetime) -> int | None:
    """Return the last position recorded up to a moment, None while another may still be recorded before it.

    Raises InTheFuture.
    """
    clock = await connection.fetchrow(sql(__package__, "settled"), moment)
    if clock is not None and clock["settled"]:
        return int(await connection.fetchval("SELECT position_at($1)", moment))
    if clock is not None and clock["future"]:
        raise InTheFuture
    return None
