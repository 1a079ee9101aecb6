SELECT a.achievement_id, a.achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at,
       array_agg(ARRAY[t.language, t.name, t.name_key, t.description]) AS texts
FROM write_model.achievements a
JOIN write_model.achievement_texts t USING (achievement_id)
WHERE a.changed_position > $1
GROUP BY a.achievement_id
