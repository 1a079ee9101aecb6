"""The days on which each user earned something, as runs of consecutive days, and the longest run.

A `datemultirange` merges adjacent days by itself, whatever order they arrive in.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DATEMULTIRANGE

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "user_streaks",
    sa.MetaData(),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("days", DATEMULTIRANGE, nullable=False),
    sa.Column("streak_days", sa.Integer, nullable=False),
    sa.Column("streak_started_on", sa.Date, nullable=False),
    sa.Column("latest_days", sa.Integer, nullable=False),
    sa.Column("latest_ended_on", sa.Date, nullable=False),
    sa.Index("streak_ranking", sa.desc("streak_days"), "user_id"),
    sa.Index("latest_streaks", "latest_ended_on", sa.desc("latest_days"), "user_id"),
    postgresql_with={"fillfactor": 80},
    comment="streak_*: the longest run, the earliest of equals. latest_*: the last run.",
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("achievement-awarded", "award-revoked"),
    owner=Owner.USER,
    after=("user_awards",),
)
