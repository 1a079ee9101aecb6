"""Questions about streaks. "Today" is an argument: a JSON object of the day that it is in each time zone."""

from typing import Final

TODAY: Final = "CROSS JOIN LATERAL (SELECT ({days}::jsonb ->> {zone})::date AS day) today"

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
    WHERE streak_days >= $2::int
      AND (streak_days < $3::int OR (streak_days = $3::int AND user_id > $4::bigint))
    ORDER BY streak_days DESC, user_id
    LIMIT $5
) s
JOIN {{g}}.users u ON u.user_id = s.user_id
{TODAY.format(days="$1", zone="u.user_timezone")}
{CURRENT_RUN}
ORDER BY s.streak_days DESC, s.user_id
"""

# Nowhere is it more than a day earlier than in UTC, and a current run reaches yesterday at the least.
CURRENT: Final = f"""
SELECT s.user_id, u.username, upper(current.run) - lower(current.run) AS streak_days,
       lower(current.run) AS streak_started_on, upper(current.run) - 1 AS streak_ended_on,
       upper(current.run) - lower(current.run) AS current_streak_days,
       EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = s.user_id) AS incomplete
FROM {{g}}.user_streaks s
JOIN {{g}}.users u ON u.user_id = s.user_id
{TODAY.format(days="$1", zone="u.user_timezone")}
{CURRENT_RUN.replace("LEFT JOIN", "JOIN")}
WHERE s.latest_ended_on >= ($1::jsonb ->> 'UTC')::date - 2
  AND s.streak_days >= $2::int
  AND upper(current.run) - lower(current.run) >= $2::int
  AND (upper(current.run) - lower(current.run) < $3::int
       OR (upper(current.run) - lower(current.run) = $3::int AND s.user_id > $4::bigint))
ORDER BY upper(current.run) - lower(current.run) DESC, s.user_id
LIMIT $5
"""
