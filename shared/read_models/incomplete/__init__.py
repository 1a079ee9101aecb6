"""Whose statistics are incomplete, because an event of theirs is in quarantine."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "incomplete_users",
    sa.MetaData(),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=(),
    owner=Owner.USER,
)
