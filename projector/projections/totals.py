"""Achievements and points of every user, and how many users stand at each count: max-count and max-points.

A user who holds nothing stands at 0 since they were registered. `count_position` and `points_position` are the log
positions of the last standing award that changed the value: ties go to the lower one.
"""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

user_totals = sa.Table(
    "user_totals",
    metadata,
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

count_levels = sa.Table(
    "count_levels",
    metadata,
    sa.Column("total_achievements", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("users", sa.BigInteger, nullable=False),
    postgresql_with={"fillfactor": 50},
    comment="How many users hold so many achievements; 0 counts those who hold none.",
)

# A revoked award takes its position with it, so who had one revoked is asked anew what stands.
PROJECT_TOTALS = """
WITH change AS (
    SELECT user_id,
        count(*) FILTER (WHERE type = 'achievement-awarded')
            - count(*) FILTER (WHERE type = 'award-revoked') AS achievements,
        coalesce(sum(CASE type WHEN 'achievement-awarded' THEN points WHEN 'award-revoked' THEN -points END), 0)
            AS points,
        min(position) FILTER (WHERE type = 'user-created') AS created_position,
        max(position) FILTER (WHERE type = 'achievement-awarded') AS count_position,
        max(position) FILTER (WHERE type = 'achievement-awarded' AND points > 0) AS points_position,
        count(*) FILTER (WHERE type = 'award-revoked') > 0 AS revoked
    FROM batch
    WHERE type IN ('user-created', 'achievement-awarded', 'award-revoked')
    GROUP BY user_id
), outcome AS (
    SELECT c.user_id,
        t.total_achievements AS old_achievements, t.total_points AS old_points,
        coalesce(t.total_achievements, 0) + c.achievements AS total_achievements,
        coalesce(t.total_points, 0) + c.points AS total_points,
        coalesce(t.created_position, c.created_position) AS created_position,
        CASE WHEN c.revoked THEN greatest(coalesce(t.created_position, c.created_position), s.count_position)
             ELSE greatest(c.created_position, t.count_position, c.count_position) END AS count_position,
        CASE WHEN c.revoked THEN greatest(coalesce(t.created_position, c.created_position), s.points_position)
             ELSE greatest(c.created_position, t.points_position, c.points_position) END AS points_position
    FROM change c
    LEFT JOIN user_totals t ON t.user_id = c.user_id
    LEFT JOIN LATERAL (
        SELECT max(award_id) AS count_position, max(award_id) FILTER (WHERE points > 0) AS points_position
        FROM user_awards a WHERE c.revoked AND a.user_id = c.user_id
    ) s ON true
), written AS (
    INSERT INTO user_totals AS t (user_id, total_achievements, total_points, created_position,
                                  count_position, points_position)
    SELECT user_id, total_achievements, total_points, created_position, count_position, points_position FROM outcome
    ON CONFLICT (user_id) DO UPDATE SET
        total_achievements = excluded.total_achievements, total_points = excluded.total_points,
        count_position = excluded.count_position, points_position = excluded.points_position
)
INSERT INTO moves (old_achievements, old_points, total_achievements, total_points)
SELECT old_achievements, old_points, total_achievements, total_points FROM outcome
"""

PROJECTION = Projection(
    name="totals",
    tables=(user_totals, count_levels),
    types=("user-created", "achievement-awarded", "award-revoked"),
    statements=(PROJECT_TOTALS,),
    tied_to=("difference",),
)
