"""Questions about streaks. "Today" is an argument: $1 and $2 are time zones and the day that it is in each."""

from typing import Final

CURRENT_RUN: Final = """
LEFT JOIN LATERAL (
    SELECT run FROM unnest(s.days) AS run
    WHERE run @> today.day OR run @> today.day - 1
    ORDER BY run @> today.day DESC
    LIMIT 1
) current ON true
"""

LONGEST: Final = f"""
SELECT s.user_id, u.username, s.streak_days, s.streak_started_on,
       s.streak_started_on + s.streak_days - 1 AS streak_ended_on,
       coalesce(upper(current.run) - lower(current.run), 0) AS current_streak_days,
       EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = s.user_id) AS incomplete
FROM (
    SELECT * FROM {{g}}.user_streaks
    WHERE streak_days >= $3::int
      AND (streak_days < $4::int OR (streak_days = $4::int AND user_id > $5::bigint))
    ORDER BY streak_days DESC, user_id
    LIMIT $6
) s
JOIN {{g}}.users u ON u.user_id = s.user_id
LEFT JOIN unnest($1::text[], $2::date[]) AS today (zone, day) ON today.zone = u.user_timezone
{CURRENT_RUN}
ORDER BY s.streak_days DESC, s.user_id
"""

# A run that reaches yesterday or today, wherever the user lives, ended on one of these days.
CURRENT: Final = f"""
SELECT s.user_id, u.username, upper(current.run) - lower(current.run) AS streak_days,
       lower(current.run) AS streak_started_on, upper(current.run) - 1 AS streak_ended_on,
       upper(current.run) - lower(current.run) AS current_streak_days,
       EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = s.user_id) AS incomplete
FROM {{g}}.user_streaks s
JOIN {{g}}.users u ON u.user_id = s.user_id
JOIN unnest($1::text[], $2::date[]) AS today (zone, day) ON today.zone = u.user_timezone
{CURRENT_RUN.replace("LEFT JOIN", "JOIN")}
WHERE s.latest_ended_on >= (SELECT min(day) - 1 FROM unnest($2::date[]) AS day)
  AND s.streak_days >= $3::int
  AND upper(current.run) - lower(current.run) >= $3::int
  AND (upper(current.run) - lower(current.run) < $4::int
       OR (upper(current.run) - lower(current.run) = $4::int AND s.user_id > $5::bigint))
ORDER BY upper(current.run) - lower(current.run) DESC, s.user_id
LIMIT $6
"""
