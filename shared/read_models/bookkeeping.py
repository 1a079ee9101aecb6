"""The tables that say which generations there are, how far each is, and what is in quarantine.

A generation is *building*, then on *standby*, followed by the projectors of its version, and at most one of all is
*live*.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

metadata = sa.MetaData()

generations = sa.Table(
    "generations",
    metadata,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("served_until", sa.DateTime(timezone=True)),
    sa.Column("verified_at", sa.DateTime(timezone=True)),
    sa.Column("verified_position", sa.BigInteger),
    sa.Column("drift", sa.BigInteger),
    sa.CheckConstraint("state IN ('building', 'standby', 'live')", name="generation_state"),
    sa.Index("one_live_generation", "state", unique=True, postgresql_where=sa.text("state = 'live'")),
    comment=(
        "version: that of the code whose projections fill it. served_until: when another last took its place. "
        "drift: rows that differed when it was last verified."
    ),
)

rebuilds = sa.Table(
    "rebuilds",
    metadata,
    sa.Column("rebuild_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("generation", sa.Integer),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("target", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("events_per_second", sa.Double),
    sa.Column("error", sa.Text),
    sa.Column("options", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("state IN ('running', 'done', 'failed', 'dropped')", name="rebuild_state"),
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
    sa.Column("last_offset", sa.BigInteger),
    sa.Index("quarantine_by_offset", "generation", "partition", "kafka_offset"),
    comment=(
        "applied: the log had the event that the record should have been, so nothing is missing. last_offset: that of "
        "the last of a run of alike records, of which record is the first."
    ),
)

partition_troubles = sa.Table(
    "partition_troubles",
    metadata,
    sa.Column("generation", sa.Integer, sa.ForeignKey("generations.generation", ondelete="CASCADE"), primary_key=True),
    sa.Column("partition", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
    comment="Written again and again while it lasts; what was noted long ago is over.",
)

PROJECTED_CHANNEL: Final = "laurels_projected"
"""NOTIFY channel: a projector committed a batch, or another generation went live."""


GENERATIONS_CHANNEL: Final = "laurels_generations"
"""NOTIFY channel: a generation came, went or went live."""
