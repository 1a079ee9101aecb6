"""The catalogue."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "achievements",
    sa.MetaData(),
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_language", sa.Text, nullable=False),
    sa.Column("achievement_point", sa.Integer, nullable=False),
    sa.Column("repeatable", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("achievement-defined", "achievement-translated"),
    owner=Owner.ACHIEVEMENT,
)
