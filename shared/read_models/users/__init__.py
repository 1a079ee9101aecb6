"""Profiles, as reads show them."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "users",
    sa.MetaData(),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("username_key", sa.Text, nullable=False),
    sa.Column("user_language", sa.Text, nullable=False),
    sa.Column("user_timezone", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_position", sa.BigInteger, nullable=False),
    # Not unique: when a name passes from one user to another, their partitions may be projected in either order.
    sa.Index("users_by_name", "username_key", sa.desc("updated_position")),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("user-created", "user-changed"),
    owner=Owner.USER,
)
