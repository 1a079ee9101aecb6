SELECT c.user_id, l.data ->> 'username', l.data ->> 'username_key', l.data ->> 'user_language',
       l.data ->> 'user_timezone', c.recorded_at, l.recorded_at, l.position
FROM batch c
JOIN (SELECT user_id, max(position) AS position FROM batch
      WHERE type IN ('user-created', 'user-changed') GROUP BY user_id) last USING (user_id)
JOIN batch l ON l.position = last.position
WHERE c.type = 'user-created'
