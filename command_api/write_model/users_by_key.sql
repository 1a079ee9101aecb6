SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at
FROM write_model.users WHERE username_key = ANY($1::text[])
