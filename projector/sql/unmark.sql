DELETE FROM incomplete_users WHERE user_id = $1 AND NOT EXISTS (
    SELECT FROM quarantine WHERE generation = $2 AND user_id = $1 AND NOT applied)
