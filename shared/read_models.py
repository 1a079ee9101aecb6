"""What both ends of the read side share: which generation is live, and how far each partition has been projected.

A generation is a PostgreSQL schema, `generation_N`, with one full set of read models. Its tables belong to the
projector (`projector/projections/`); the tables here say which generation is served and where it stands.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from shared.runtime.database import Connection

metadata = sa.MetaData()

generations = sa.Table(
    "generations",
    metadata,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("state IN ('building', 'live', 'kept')", name="generation_state"),
    sa.Index("one_live_generation", "state", unique=True, postgresql_where=sa.text("state = 'live'")),
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("generation", sa.Integer, sa.ForeignKey("generations.generation", ondelete="CASCADE"), primary_key=True),
    sa.Column("partition", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("epoch", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("kafka_offset", sa.BigInteger),
    postgresql_with={"fillfactor": 50},
    comment="Moved in the transaction that writes the rows. kafka_offset, the next to read, is a hint.",
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("quarantine_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("partition", sa.SmallInteger, nullable=False),
    sa.Column("position", sa.BigInteger),
    sa.Column("user_id", sa.BigInteger),
    sa.Column("kafka_offset", sa.BigInteger),
    sa.Column("record", BYTEA),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("applied", sa.Boolean, nullable=False),
    sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    comment="applied: the log had the event that the record should have been, so nothing is missing.",
)

PROJECTED_CHANNEL: Final = "laurels_projected"
"""NOTIFY channel: a projector committed a batch, or another generation went live."""


def schema_name(generation: int) -> str:
    """Return the PostgreSQL schema that holds a generation's tables."""
    return f"generation_{generation}"


async def live_generation(connection: Connection) -> int:
    """Return the number of the generation that reads are served from."""
    return int(await connection.fetchval("SELECT generation FROM generations WHERE state = 'live'"))


async def visible_position(connection: Connection) -> int:
    """Return the Read-Position of the live generation: every event up to it is in the read models."""
    return int(
        await connection.fetchval("SELECT read_position(generation) FROM generations WHERE state = 'live'"),
    )
