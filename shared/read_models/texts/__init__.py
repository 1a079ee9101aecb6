"""The texts of the catalogue in every language."""

import sqlalchemy as sa

from shared.read_models.read_model import Owner, ReadModel

TABLE = sa.Table(
    "achievement_texts",
    sa.MetaData(),
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("language", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)

READ_MODEL = ReadModel(
    package=__name__,
    table=TABLE,
    event_types=("achievement-defined", "achievement-translated"),
    owner=Owner.ACHIEVEMENT,
)
