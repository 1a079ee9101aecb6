-- $1 is the day that it is in each time zone, as a JSON object.
SELECT s.user_id, u.username, s.streak_days, s.streak_started_on,
       s.streak_started_on + s.streak_days - 1 AS streak_ended_on,
       coalesce(upper(current.run) - lower(current.run), 0) AS current_streak_days,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = s.user_id) AS incomplete
FROM (
    SELECT * FROM user_streaks
    WHERE streak_days >= $2::int
      AND (streak_days < $3::int OR (streak_days = $3::int AND user_id > $4::bigint))
    ORDER BY streak_days DESC, user_id
    LIMIT $5
) s
JOIN users u ON u.user_id = s.user_id
CROSS JOIN LATERAL (SELECT ($1::jsonb ->> u.user_timezone)::date AS day) today
LEFT JOIN LATERAL :current_run current ON true
ORDER BY s.streak_days DESC, s.user_id
