-- The profile of shown.user_id at position $1; only a profile that has changed since is looked up in the log.
LATERAL (
    SELECT coalesce(earlier.data ->> 'username', u.username) AS username,
           coalesce(earlier.data ->> 'user_timezone', u.user_timezone) AS user_timezone
    FROM users u
    LEFT JOIN LATERAL (
        SELECT e.data FROM events e
        WHERE u.updated_position > $1 AND e.user_id = u.user_id AND e.position <= $1
          AND e.type IN ('user-created', 'user-changed')
        ORDER BY e.position DESC LIMIT 1
    ) earlier ON true
    WHERE u.user_id = shown.user_id
)
