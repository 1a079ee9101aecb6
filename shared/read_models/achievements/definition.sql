SELECT d.achievement_id, d.data ->> 'achievement_language', (d.data ->> 'achievement_point')::int,
       (d.data ->> 'repeatable')::boolean, d.recorded_at, greatest(d.recorded_at, t.recorded_at)
FROM batch d
LEFT JOIN (SELECT achievement_id, max(recorded_at) AS recorded_at FROM batch
           WHERE type = 'achievement-translated' GROUP BY achievement_id) t USING (achievement_id)
WHERE d.type = 'achievement-defined'
