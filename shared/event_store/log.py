"""The log of record: an append-only table, its head, and how it is read.

Positions are gapless and appear in commit order, because whoever appends holds the one row of `log_head`. So a reader
needs nothing but "position greater than mine", and a gap is a fault that is detected.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.runtime.database import Connection

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


async def head_position(connection: Connection) -> int:
    """Return the position of the last event, 0 for an empty log."""
    return int(await connection.fetchval("SELECT position FROM log_head"))


async def partition_count(connection: Connection) -> int:
    """Return the number of partitions that the log was made with."""
    return int(await connection.fetchval("SELECT cardinality(partition_positions) FROM log_head"))
