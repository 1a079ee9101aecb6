-- The latest profile in the batch takes the place of the earlier one.
CREATE OR REPLACE FUNCTION pg_temp.fold_users() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    WITH latest AS (
        SELECT DISTINCT ON (user_id)
            user_id, data ->> 'username' AS username, data ->> 'username_key' AS username_key,
            data ->> 'user_language' AS user_language, data ->> 'user_timezone' AS user_timezone,
            min(recorded_at) OVER (PARTITION BY user_id) AS created_at, recorded_at AS updated_at, position
        FROM batch
        WHERE type IN ('user-created', 'user-changed')
        ORDER BY user_id, position DESC
    )
    INSERT INTO users AS u (user_id, username, username_key, user_language, user_timezone,
                            created_at, updated_at, updated_position)
    SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at, position FROM latest
    ON CONFLICT (user_id) DO UPDATE SET
        username = excluded.username, username_key = excluded.username_key, user_language = excluded.user_language,
        user_timezone = excluded.user_timezone, updated_at = excluded.updated_at,
        updated_position = excluded.updated_position;
END $fold$;
