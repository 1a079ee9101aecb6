"""How many users have each number of achievements."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "count_levels",
    sa.MetaData(),
    sa.Column("total_achievements", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("users", sa.BigInteger, nullable=False),
    postgresql_with={"fillfactor": 50},
    comment="How many users have so many achievements; 0 counts those without any.",
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("user-created", "achievement-awarded", "award-revoked"),
    owner=Owner.NONE,
    fed_by=("totals",),
)
