INSERT INTO write_model.users
    (user_id, username, username_key, user_language, user_timezone, created_at, updated_at)
SELECT DISTINCT ON (user_id) user_id, data ->> 'username', data ->> 'username_key', data ->> 'user_language',
    data ->> 'user_timezone', min(recorded_at) OVER (PARTITION BY user_id), recorded_at
FROM facts WHERE type IN ('user-created', 'user-changed') ORDER BY user_id, position DESC
