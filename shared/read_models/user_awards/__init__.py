"""The awards that are not revoked, by user."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "user_awards",
    sa.MetaData(),
    # The key is also the order in which a user's awards are listed, so that one index serves both.
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("awarded_at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("award_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_id", sa.BigInteger, nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("local_day", sa.Date, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("achievement-awarded", "award-revoked"),
    owner=Owner.USER,
    keyed_late=True,
)
