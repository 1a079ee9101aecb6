"""How many users have each number of points, and the gap to the next lower number: the difference statistic.

See docs/adr/0005-levels.md.
"""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "points_levels",
    sa.MetaData(),
    sa.Column("total_points", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("users", sa.BigInteger, nullable=False),
    sa.Column("gap_below", sa.BigInteger),
    sa.Index("shared_levels", "total_points", postgresql_where=sa.text("users > 1")),
    sa.Index("gaps", "gap_below", sa.desc("total_points")),
    postgresql_with={"fillfactor": 50},
    comment="Over users who hold at least one award. gap_below is null on the lowest level.",
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("user-created", "achievement-awarded", "award-revoked"),
    owner=Owner.NONE,
    fed_by=("totals",),
)
