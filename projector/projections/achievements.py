"""The catalogue and its texts in every language."""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

achievements = sa.Table(
    "achievements",
    metadata,
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_language", sa.Text, nullable=False),
    sa.Column("achievement_point", sa.Integer, nullable=False),
    sa.Column("repeatable", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
)

achievement_texts = sa.Table(
    "achievement_texts",
    metadata,
    sa.Column("achievement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("language", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)

PROJECT_ACHIEVEMENTS = """
INSERT INTO achievements AS a (achievement_id, achievement_language, achievement_point, repeatable,
                               created_at, updated_at)
SELECT achievement_id, data ->> 'achievement_language', (data ->> 'achievement_point')::int,
       (data ->> 'repeatable')::boolean, recorded_at, recorded_at
FROM batch
WHERE type = 'achievement-defined'
"""

PROJECT_TEXTS = """
WITH latest AS (
    SELECT DISTINCT ON (achievement_id, data ->> 'achievement_language')
        achievement_id, data ->> 'achievement_language' AS language,
        data ->> 'achievement_name' AS name, data ->> 'achievement_description' AS description
    FROM batch
    WHERE type IN ('achievement-defined', 'achievement-translated')
    ORDER BY achievement_id, data ->> 'achievement_language', position DESC
), touched AS (
    UPDATE achievements a SET updated_at = b.updated_at
    FROM (SELECT achievement_id, max(recorded_at) AS updated_at FROM batch
          WHERE type = 'achievement-translated' GROUP BY achievement_id) b
    WHERE a.achievement_id = b.achievement_id
)
INSERT INTO achievement_texts AS t (achievement_id, language, name, description)
SELECT achievement_id, language, name, description FROM latest
ON CONFLICT (achievement_id, language) DO UPDATE SET name = excluded.name, description = excluded.description
"""

PROJECTION = Projection(
    name="achievements",
    tables=(achievements, achievement_texts),
    types=("achievement-defined", "achievement-translated"),
    statements=(PROJECT_ACHIEVEMENTS, PROJECT_TEXTS),
)
