"""What each read model is, said over the whole log at once: the independent path that `laurels verify` compares with.

Projections fold events in, batch by batch; a definition says what has to come of it, by other means: it sees all events
in `batch`, those awards that stand in `standing`, and sums over these in `sums`.
"""

from collections.abc import Mapping
from typing import Final

PREPARE: Final = (
    """
    CREATE TEMPORARY TABLE standing ON COMMIT DROP AS
    SELECT user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at FROM batch
    WHERE type = 'achievement-awarded' AND award_id NOT IN (SELECT award_id FROM batch WHERE type = 'award-revoked')
    """,
    "ANALYZE standing",
    """
    CREATE TEMPORARY TABLE sums ON COMMIT DROP AS
    SELECT u.user_id, count(s.award_id) AS total_achievements, coalesce(sum(s.points), 0) AS total_points,
           u.position AS created_position, greatest(u.position, max(s.award_id)) AS count_position,
           greatest(u.position, max(s.award_id) FILTER (WHERE s.points > 0)) AS points_position
    FROM batch u LEFT JOIN standing s USING (user_id)
    WHERE u.type = 'user-created'
    GROUP BY u.user_id, u.position
    """,
    "ANALYZE sums",
)

USERS: Final = """
SELECT c.user_id, l.data ->> 'username', l.data ->> 'username_key', l.data ->> 'user_language',
       l.data ->> 'user_timezone', c.recorded_at, l.recorded_at, l.position
FROM batch c
JOIN (SELECT user_id, max(position) AS position FROM batch
      WHERE type IN ('user-created', 'user-changed') GROUP BY user_id) last USING (user_id)
JOIN batch l ON l.position = last.position
WHERE c.type = 'user-created'
"""

ACHIEVEMENTS: Final = """
SELECT d.achievement_id, d.data ->> 'achievement_language', (d.data ->> 'achievement_point')::int,
       (d.data ->> 'repeatable')::boolean, d.recorded_at, greatest(d.recorded_at, t.recorded_at)
FROM batch d
LEFT JOIN (SELECT achievement_id, max(recorded_at) AS recorded_at FROM batch
           WHERE type = 'achievement-translated' GROUP BY achievement_id) t USING (achievement_id)
WHERE d.type = 'achievement-defined'
"""

TEXTS: Final = """
SELECT t.achievement_id, t.data ->> 'achievement_language', t.data ->> 'achievement_name',
       t.data ->> 'achievement_description'
FROM batch t
JOIN (SELECT max(position) AS position FROM batch
      WHERE type IN ('achievement-defined', 'achievement-translated')
      GROUP BY achievement_id, data ->> 'achievement_language') last USING (position)
"""

# A day minus its rank among the user's days is the same for all days of one run.
STREAKS: Final = """
SELECT user_id, range_agg(daterange(first, last + 1)), max(last - first + 1),
       (array_agg(first ORDER BY last - first DESC, first))[1],
       (array_agg(last - first + 1 ORDER BY last DESC))[1], max(last)
FROM (
    SELECT user_id, min(local_day) AS first, max(local_day) AS last
    FROM (
        SELECT user_id, local_day,
               local_day - (row_number() OVER (PARTITION BY user_id ORDER BY local_day))::int AS run
        FROM (SELECT DISTINCT user_id, local_day FROM standing) days
    ) ranked
    GROUP BY user_id, run
) runs
GROUP BY user_id
"""

DEFINITIONS: Final[Mapping[str, str]] = {
    "users": USERS,
    "achievements": ACHIEVEMENTS,
    "achievement_texts": TEXTS,
    "user_awards": "SELECT * FROM standing",
    "user_totals": "SELECT * FROM sums",
    "count_levels": "SELECT total_achievements, count(*) FROM sums GROUP BY total_achievements",
    "points_levels": """
        SELECT total_points, count(*), total_points - lag(total_points) OVER (ORDER BY total_points)
        FROM sums WHERE total_achievements > 0 GROUP BY total_points
    """,
    "user_streaks": STREAKS,
}
"""Every table that follows from the log alone, its columns in order; `incomplete_users` follows from quarantine."""
