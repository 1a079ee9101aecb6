SELECT user_id, username, user_language, user_timezone, created_at, updated_at FROM :named_user u
