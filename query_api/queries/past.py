"""The statistics as they were, recomputed from the awards that stood; columns are those of the questions of today.

In all of them `$1` is the last position that was known, `$2` the last `awarded_at` that counts (null for any), and `$3`
onwards are the parameters of the same question without these two. One pass over the awards, and one over the users.
"""

from typing import Final

from query_api.queries.streaks import CURRENT_RUN, TODAY

# An award that was revoked later still stood; its revocation repeats what it said. One that is still in user_awards,
# because the revocation has not been projected, is not taken twice.
_STANDING: Final = """
standing AS (
    SELECT user_id, award_id, points, local_day FROM {g}.user_awards
    WHERE award_id <= $1::bigint AND awarded_at <= coalesce($2::timestamptz, 'infinity')
    UNION ALL
    SELECT r.user_id, r.award_id, r.points, r.local_day
    FROM (
        SELECT user_id, (data ->> 'award_id')::bigint AS award_id, (data ->> 'points')::integer AS points,
               (data ->> 'awarded_at')::timestamptz AS awarded_at, (data ->> 'local_day')::date AS local_day
        FROM events WHERE type = 'award-revoked' AND position > $1
    ) r
    WHERE r.award_id <= $1 AND r.awarded_at <= coalesce($2, 'infinity')
      AND NOT EXISTS (
        SELECT FROM {g}.user_awards a
        WHERE a.user_id = r.user_id AND a.awarded_at = r.awarded_at AND a.award_id = r.award_id)
)
"""

_TOTALS: Final = f"""
{_STANDING}, held AS (
    SELECT user_id, count(*) AS total_achievements, sum(points) AS total_points,
           max(award_id) AS count_position, max(award_id) FILTER (WHERE points > 0) AS points_position
    FROM standing GROUP BY user_id
), ranked AS MATERIALIZED (
    SELECT t.user_id, coalesce(h.total_achievements, 0) AS total_achievements,
           coalesce(h.total_points, 0) AS total_points,
           coalesce(h.count_position, t.created_position) AS count_position,
           coalesce(h.points_position, t.created_position) AS points_position
    FROM {{g}}.user_totals t
    LEFT JOIN held h ON h.user_id = t.user_id
    WHERE t.created_position <= $1 AND (h.user_id IS NOT NULL OR $3::boolean)
)
"""

_INCOMPLETE: Final = "EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = {user_id}) AS incomplete"

# Whoever has not changed their profile since is looked up in `users` alone.
_PROFILE: Final = """
(
    SELECT coalesce(earlier.data ->> 'username', u.username) AS username,
           coalesce(earlier.data ->> 'user_timezone', u.user_timezone) AS user_timezone
    FROM {{g}}.users u
    LEFT JOIN LATERAL (
        SELECT e.data FROM events e
        WHERE u.updated_position > $1 AND e.user_id = u.user_id AND e.position <= $1
          AND e.type IN ('user-created', 'user-changed')
        ORDER BY e.position DESC LIMIT 1
    ) earlier ON true
    WHERE u.user_id = {user_id}
)
"""


def _incomplete(user_id: str) -> str:
    return _INCOMPLETE.format(user_id=user_id)


def _profile(user_id: str) -> str:
    return _PROFILE.format(user_id=user_id)


def _leader(value: str, reached_at: str) -> str:
    return f"""
WITH {_TOTALS}
SELECT leader.user_id, profile.username, leader.{value},
       (SELECT count(*) FROM ranked r WHERE r.{value} = leader.{value}) AS tied_users,
       {_incomplete("leader.user_id")}
FROM (SELECT * FROM ranked ORDER BY {value} DESC, {reached_at}, user_id LIMIT 1) leader
JOIN LATERAL {_profile("leader.user_id")} profile ON true
"""


MAX_COUNT: Final = _leader("total_achievements", "count_position")
MAX_POINTS: Final = _leader("total_points", "points_position")

# Where two share a level the difference is 0, else it is the gap to the next lower one; of equal ones the highest.
DIFFERENCE: Final = f"""
WITH {_TOTALS}, closest AS (
    SELECT difference, total_points AS higher
    FROM (
        SELECT total_points,
               CASE WHEN count(*) > 1 THEN 0 ELSE total_points - lag(total_points) OVER (ORDER BY total_points) END
                   AS difference
        FROM ranked GROUP BY total_points
    ) levels
    WHERE difference IS NOT NULL
    ORDER BY difference, total_points DESC
    LIMIT 1
)
SELECT top.total_points - bottom.total_points AS max_difference,
       top.user_id AS top_id, top_user.username AS top_name, top.total_points AS top_points,
       bottom.user_id AS bottom_id, bottom_user.username AS bottom_name, bottom.total_points AS bottom_points,
       closest.difference AS min_difference,
       higher.user_id AS higher_id, higher_user.username AS higher_name, higher.total_points AS higher_points,
       lower.user_id AS lower_id, lower_user.username AS lower_name, lower.total_points AS lower_points,
       ARRAY(SELECT user_id FROM {{g}}.incomplete_users i
             WHERE i.user_id IN (top.user_id, bottom.user_id, higher.user_id, lower.user_id)) AS incomplete
FROM (SELECT * FROM ranked ORDER BY total_points DESC, points_position, user_id LIMIT 1) top
CROSS JOIN (SELECT * FROM ranked ORDER BY total_points, points_position, user_id LIMIT 1) bottom
LEFT JOIN closest ON true
LEFT JOIN LATERAL (
    SELECT * FROM ranked WHERE total_points = closest.higher ORDER BY points_position, user_id LIMIT 1
) higher ON true
LEFT JOIN LATERAL (
    SELECT * FROM ranked
    WHERE total_points = closest.higher - closest.difference AND user_id <> higher.user_id
    ORDER BY points_position, user_id LIMIT 1
) lower ON true
LEFT JOIN LATERAL {_profile("top.user_id")} top_user ON true
LEFT JOIN LATERAL {_profile("bottom.user_id")} bottom_user ON true
LEFT JOIN LATERAL {_profile("higher.user_id")} higher_user ON true
LEFT JOIN LATERAL {_profile("lower.user_id")} lower_user ON true
"""

# A multirange joins days that follow on each other by itself.
_HELD_DAYS: Final = f"""
{_STANDING}, held AS MATERIALIZED (
    SELECT user_id, range_agg(daterange(local_day, local_day + 1)) AS days FROM standing GROUP BY user_id
)
"""

LONGEST: Final = f"""
WITH {_HELD_DAYS}, longest AS (
    SELECT DISTINCT ON (user_id) user_id, upper(run) - lower(run) AS streak_days, lower(run) AS streak_started_on
    FROM held, unnest(days) AS run
    WHERE upper(run) - lower(run) >= $4::int
    ORDER BY user_id, streak_days DESC, streak_started_on
), page AS (
    SELECT * FROM longest
    WHERE streak_days < $5::int OR (streak_days = $5::int AND user_id > $6::bigint)
    ORDER BY streak_days DESC, user_id
    LIMIT $7
)
SELECT page.user_id, profile.username, page.streak_days, page.streak_started_on,
       page.streak_started_on + page.streak_days - 1 AS streak_ended_on,
       coalesce(upper(current.run) - lower(current.run), 0) AS current_streak_days,
       {_incomplete("page.user_id")}
FROM page
JOIN held s ON s.user_id = page.user_id
JOIN LATERAL {_profile("page.user_id")} profile ON true
{TODAY.format(days="$3", zone="profile.user_timezone")}
{CURRENT_RUN}
ORDER BY page.streak_days DESC, page.user_id
"""

# A current run has begun by today and ended on or after the eve of it, and nowhere is that more than a day from UTC's.
CURRENT: Final = f"""
WITH {_HELD_DAYS}, candidates AS (
    SELECT user_id, upper(run) - lower(run) AS streak_days, lower(run) AS started_on, upper(run) - 1 AS ended_on
    FROM held, unnest(days) AS run
    WHERE lower(run) <= ($3::jsonb ->> 'UTC')::date + 1 AND upper(run) >= ($3::jsonb ->> 'UTC')::date - 1
)
SELECT c.user_id, profile.username, c.streak_days, c.started_on AS streak_started_on, c.ended_on AS streak_ended_on,
       c.streak_days AS current_streak_days,
       {_incomplete("c.user_id")}
FROM candidates c
JOIN LATERAL {_profile("c.user_id")} profile ON true
{TODAY.format(days="$3", zone="profile.user_timezone")}
WHERE c.streak_days >= $4::int
  AND (c.streak_days < $5::int OR (c.streak_days = $5::int AND c.user_id > $6::bigint))
  AND c.started_on <= today.day AND c.ended_on >= today.day - 1
ORDER BY c.streak_days DESC, c.user_id
LIMIT $7
"""
