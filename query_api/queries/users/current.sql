SELECT user_id, username, user_language, user_timezone, created_at, updated_at
FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2
