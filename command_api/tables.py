"""The write side's own tables: just what decisions need to know, the remembered answers, and the relay's lease.

What decisions need is changed only in the transaction that appends the events it follows from.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

SCHEMA = "write_model"

metadata = sa.MetaData(schema=SCHEMA)

users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("username_key", sa.Text, nullable=False, unique=True),
    sa.Column("user_language", sa.Text, nullable=False),
    sa.Column("user_timezone", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)

achievements = sa.Table(
    "achievements",
    metadata,
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_language", sa.Text, nullable=False),
    sa.Column("achievement_point", sa.Integer, nullable=False),
    sa.Column("repeatable", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_position", sa.BigInteger, nullable=False, index=True),
)

achievement_texts = sa.Table(
    "achievement_texts",
    metadata,
    sa.Column(
        "achievement_id", sa.BigInteger, sa.ForeignKey("write_model.achievements.achievement_id"), primary_key=True
    ),
    sa.Column("language", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.UniqueConstraint("language", "name_key"),
)

holdings = sa.Table(
    "holdings",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    comment="Who holds which once-only achievement; repeatable ones need no such memory.",
)

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("award_id", sa.BigInteger, primary_key=True, autoincrement=False),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", BYTEA, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("body", BYTEA, nullable=False),
    sa.Column("position", sa.BigInteger),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("idempotency_recorded_at", "recorded_at", postgresql_using="brin"),
)

relay_lease = sa.Table(
    "relay_lease",
    metadata,
    sa.Column("singleton", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("partition_positions", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("topic", sa.Text),
    sa.Column("trouble", sa.Text),
    sa.CheckConstraint("singleton", name="relay_lease_has_one_row"),
    postgresql_with={"fillfactor": 10},
    comment="position is published and acknowledged; it moves only under the epoch of the lease.",
)
