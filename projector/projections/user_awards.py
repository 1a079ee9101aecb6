"""The awards that stand, by user; a revoked one is gone."""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

user_awards = sa.Table(
    "user_awards",
    metadata,
    # The key is also the order in which a user's awards are listed, so that one index serves both.
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("awarded_at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("award_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("achievement_id", sa.BigInteger, nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("local_day", sa.Date, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
)

# NOT IN becomes a hashed look-up whatever size the planner expects `batch` to have; NOT EXISTS would not.
PROJECT = """
WITH revoked AS (
    DELETE FROM user_awards a USING batch b
    WHERE b.type = 'award-revoked'
      AND (a.user_id, a.awarded_at, a.award_id) = (b.user_id, b.awarded_at, b.award_id)
)
INSERT INTO user_awards (user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at)
SELECT user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at
FROM batch
WHERE type = 'achievement-awarded'
  AND award_id NOT IN (SELECT award_id FROM batch WHERE type = 'award-revoked')
"""

PROJECTION = Projection(
    name="user_awards",
    tables=(user_awards,),
    types=("achievement-awarded", "award-revoked"),
    statements=(PROJECT,),
    keyed_late=(user_awards,),
)
