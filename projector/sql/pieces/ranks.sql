SELECT t.user_id, u.username, t.total_points, s.streak_days, s.streak_started_on,
       rank() OVER (ORDER BY t.total_points DESC, t.points_position, t.user_id) AS place
FROM :generation.user_totals t
JOIN :served.users u USING (user_id)
LEFT JOIN :generation.user_streaks s USING (user_id)
WHERE t.total_achievements > 0
