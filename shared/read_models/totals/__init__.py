"""Achievements and points of every user: max-count and max-points.

A user without awards has 0 since their registration. `count_position` and `points_position` are the log positions of
the last award, of those not revoked, that changed the value: ties go to the lower one.
"""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "user_totals",
    sa.MetaData(),
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("total_achievements", sa.BigInteger, nullable=False),
    sa.Column("total_points", sa.BigInteger, nullable=False),
    sa.Column("created_position", sa.BigInteger, nullable=False),
    sa.Column("count_position", sa.BigInteger, nullable=False),
    sa.Column("points_position", sa.BigInteger, nullable=False),
    sa.Index("count_ranking", "total_achievements", "count_position", "user_id"),
    sa.Index(
        "points_ranking",
        "total_points",
        "points_position",
        "user_id",
        postgresql_where=sa.text("total_achievements > 0"),
    ),
    postgresql_with={"fillfactor": 80},
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("user-created", "achievement-awarded", "award-revoked"),
    owner=Owner.USER,
    after=("user_awards",),
)
