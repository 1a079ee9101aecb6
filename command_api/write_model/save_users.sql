INSERT INTO write_model.users AS u (user_id, username, username_key, user_language, user_timezone,
                                    created_at, updated_at)
SELECT * , $6::timestamptz, $6::timestamptz
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (user_id) DO UPDATE SET
    username = excluded.username, username_key = excluded.username_key, user_language = excluded.user_language,
    user_timezone = excluded.user_timezone, updated_at = excluded.updated_at
