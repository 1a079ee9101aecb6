SELECT t.achievement_id, t.data ->> 'achievement_language', t.data ->> 'achievement_name',
       t.data ->> 'achievement_description'
FROM batch t
JOIN (SELECT max(position) AS position FROM batch
      WHERE type IN ('achievement-defined', 'achievement-translated')
      GROUP BY achievement_id, data ->> 'achievement_language') last USING (position)
