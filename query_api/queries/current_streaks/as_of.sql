-- $3 is the day that it was in each time zone, as a JSON object. A current run has begun by today and ended yesterday
-- or later, and nowhere is that more than a day from UTC's.
WITH :days_then, shown AS (
    SELECT user_id, upper(run) - lower(run) AS streak_days, lower(run) AS started_on, upper(run) - 1 AS ended_on
    FROM held, unnest(days) AS run
    WHERE lower(run) <= ($3::jsonb ->> 'UTC')::date + 1 AND upper(run) >= ($3::jsonb ->> 'UTC')::date - 1
)
SELECT shown.user_id, profile.username, shown.streak_days, shown.started_on AS streak_started_on,
       shown.ended_on AS streak_ended_on, shown.streak_days AS current_streak_days,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = shown.user_id) AS incomplete
FROM shown
CROSS JOIN :profile_then profile
CROSS JOIN LATERAL (SELECT ($3::jsonb ->> profile.user_timezone)::date AS day) today
WHERE shown.streak_days >= $4::int
  AND (shown.streak_days < $5::int OR (shown.streak_days = $5::int AND shown.user_id > $6::bigint))
  AND shown.started_on <= today.day AND shown.ended_on >= today.day - 1
ORDER BY shown.streak_days DESC, shown.user_id
LIMIT $7
