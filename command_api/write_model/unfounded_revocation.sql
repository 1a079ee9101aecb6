SELECT min(r.position) FROM facts r
LEFT JOIN facts a ON a.position = (r.data ->> 'award_id')::bigint AND a.type = 'achievement-awarded'
    AND a.user_id = r.user_id AND a.position < r.position
    AND (a.data -> 'achievement_id', a.data -> 'points', a.data -> 'awarded_at', a.data -> 'local_day')
      = (r.data -> 'achievement_id', r.data -> 'points', r.data -> 'awarded_at', r.data -> 'local_day')
WHERE r.type = 'award-revoked' AND a.position IS NULL
