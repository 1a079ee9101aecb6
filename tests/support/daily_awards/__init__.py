"""A read model that only the tests have: the awards and points of each user on each of their days."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "daily_awards",
    sa.MetaData(),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("local_day", sa.Date, primary_key=True),
    sa.Column("awards", sa.BigInteger, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Index("busiest_days", "user_id", "awards"),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("achievement-awarded", "award-revoked"),
    owner=Owner.USER,
    after=("user_awards",),
)
