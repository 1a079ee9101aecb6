"""How many users stand at each number of points, and how far the next lower number lies: the differences.

The greatest difference is between the last and the first level. The smallest is 0 where a level has two users, else the
smallest gap. Levels belong to no partition, so projectors take turns on them: a lock is held from here to the commit.
"""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

points_levels = sa.Table(
    "points_levels",
    metadata,
    sa.Column("total_points", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("users", sa.BigInteger, nullable=False),
    sa.Column("gap_below", sa.BigInteger),
    sa.Index("shared_levels", "total_points", postgresql_where=sa.text("users > 1")),
    sa.Index("gaps", "gap_below", sa.desc("total_points")),
    postgresql_with={"fillfactor": 50},
    comment="Over users who hold at least one award. gap_below is null on the lowest level.",
)

TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('laurels levels ' || current_schema()))"

COUNT_LEVELS = """
MERGE INTO count_levels l
USING (
    SELECT total_achievements, sum(users)::bigint AS users
    FROM (
        SELECT total_achievements, 1 AS users FROM moves WHERE total_achievements IS NOT NULL
        UNION ALL
        SELECT old_achievements, -1 FROM moves WHERE old_achievements IS NOT NULL
    ) m
    GROUP BY total_achievements HAVING sum(users) <> 0
) m ON l.total_achievements = m.total_achievements
WHEN MATCHED AND l.users + m.users = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET users = l.users + m.users
WHEN NOT MATCHED THEN INSERT (total_achievements, users) VALUES (m.total_achievements, m.users)
"""

POINTS_LEVELS = """
MERGE INTO points_levels l
USING (
    SELECT total_points, sum(users)::bigint AS users
    FROM (
        SELECT total_points, 1 AS users FROM moves WHERE total_achievements > 0
        UNION ALL
        SELECT old_points, -1 FROM moves WHERE old_achievements > 0
    ) m
    GROUP BY total_points HAVING sum(users) <> 0
) m ON l.total_points = m.total_points
WHEN MATCHED AND l.users + m.users = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET users = l.users + m.users
WHEN NOT MATCHED THEN INSERT (total_points, users) VALUES (m.total_points, m.users)
"""

# A level that came or went changes its own gap and that of the next higher level.
GAPS = """
WITH moved AS (
    SELECT total_points FROM moves WHERE total_achievements > 0
    UNION
    SELECT old_points FROM moves WHERE old_achievements > 0
), around AS (
    SELECT total_points FROM moved
    UNION
    SELECT (SELECT min(l.total_points) FROM points_levels l WHERE l.total_points > m.total_points) FROM moved m
), gaps AS (
    SELECT a.total_points,
        a.total_points - (SELECT max(l.total_points) FROM points_levels l WHERE l.total_points < a.total_points) AS gap
    FROM around a
)
UPDATE points_levels l SET gap_below = g.gap
FROM gaps g
WHERE l.total_points = g.total_points AND l.gap_below IS DISTINCT FROM g.gap
"""

PROJECTION = Projection(
    name="difference",
    tables=(points_levels,),
    types=("user-created", "achievement-awarded", "award-revoked"),
    statements=(TAKE_TURNS, COUNT_LEVELS, POINTS_LEVELS, GAPS),
    tied_to=("totals",),
)
