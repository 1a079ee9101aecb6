-- $2 is the day that it is in each time zone, as a JSON object.
SELECT u.user_id, u.username,
       t.total_achievements, t.count_position AS total_achievements_position,
       t.total_points, t.points_position AS total_points_position,
       coalesce(s.streak_days, 0) AS streak_days, s.streak_started_on, longest.last AS streak_ended_on,
       longest.position AS streak_position,
       coalesce(current.last + 1 - current.first, 0) AS current_streak_days, current.position AS current_streak_position,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM :named_user u
JOIN user_totals t ON t.user_id = u.user_id
LEFT JOIN user_streaks s ON s.user_id = u.user_id
CROSS JOIN LATERAL (SELECT ($2::jsonb ->> u.user_timezone)::date AS day) today
LEFT JOIN LATERAL (
    SELECT run.last, :reached AS position
    FROM (SELECT s.streak_started_on AS first, s.streak_started_on + s.streak_days - 1 AS last) run
) longest ON true
LEFT JOIN LATERAL (
    SELECT run.first, run.last, :reached AS position
    FROM (SELECT lower(c.run) AS first, upper(c.run) - 1 AS last FROM :current_run c) run
) current ON true
