-- The days on which a user got most awards.
SELECT u.username, d.local_day, d.awards, d.points
FROM daily_awards d JOIN users u USING (user_id)
WHERE u.username_key = $1
ORDER BY d.awards DESC, d.local_day LIMIT $2
