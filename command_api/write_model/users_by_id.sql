SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at
FROM write_model.users WHERE user_id = ANY($1::bigint[])
