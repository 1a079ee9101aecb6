"""Whose statistics are incomplete, because an event of theirs is in quarantine."""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

incomplete_users = sa.Table(
    "incomplete_users",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
)

PROJECTION = Projection(name="incomplete", tables=(incomplete_users,), types=(), statements=())
