-- $1 is the day that it is in each time zone, as a JSON object. Nowhere is it more than a day earlier than in UTC, and
-- a current run reaches yesterday at least.
SELECT s.user_id, u.username, upper(current.run) - lower(current.run) AS streak_days,
       lower(current.run) AS streak_started_on, upper(current.run) - 1 AS streak_ended_on,
       upper(current.run) - lower(current.run) AS current_streak_days,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = s.user_id) AS incomplete
FROM user_streaks s
JOIN users u ON u.user_id = s.user_id
CROSS JOIN LATERAL (SELECT ($1::jsonb ->> u.user_timezone)::date AS day) today
CROSS JOIN LATERAL :current_run current
WHERE s.latest_ended_on >= ($1::jsonb ->> 'UTC')::date - 2
  AND s.streak_days >= $2::int
  AND upper(current.run) - lower(current.run) >= $2::int
  AND (upper(current.run) - lower(current.run) < $3::int
       OR (upper(current.run) - lower(current.run) = $3::int AND s.user_id > $4::bigint))
ORDER BY upper(current.run) - lower(current.run) DESC, s.user_id
LIMIT $5
