-- $3 is the day that it was in each time zone, as a JSON object.
WITH :days_then, longest AS (
    SELECT DISTINCT ON (user_id) user_id, upper(run) - lower(run) AS streak_days, lower(run) AS streak_started_on
    FROM held, unnest(days) AS run
    WHERE upper(run) - lower(run) >= $4::int
    ORDER BY user_id, streak_days DESC, streak_started_on
), shown AS (
    SELECT * FROM longest
    WHERE streak_days < $5::int OR (streak_days = $5::int AND user_id > $6::bigint)
    ORDER BY streak_days DESC, user_id
    LIMIT $7
)
SELECT shown.user_id, profile.username, shown.streak_days, shown.streak_started_on,
       shown.streak_started_on + shown.streak_days - 1 AS streak_ended_on,
       coalesce(upper(current.run) - lower(current.run), 0) AS current_streak_days,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = shown.user_id) AS incomplete
FROM shown
JOIN held s ON s.user_id = shown.user_id
CROSS JOIN :profile_then profile
CROSS JOIN LATERAL (SELECT ($3::jsonb ->> profile.user_timezone)::date AS day) today
LEFT JOIN LATERAL :current_run current ON true
ORDER BY shown.streak_days DESC, shown.user_id
