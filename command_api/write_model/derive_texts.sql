INSERT INTO write_model.achievement_texts (achievement_id, language, name, name_key, description)
SELECT DISTINCT ON (1, 2) (data ->> 'achievement_id')::bigint, data ->> 'achievement_language',
    data ->> 'achievement_name', data ->> 'achievement_key', data ->> 'achievement_description'
FROM facts WHERE type IN ('achievement-defined', 'achievement-translated') ORDER BY 1, 2, position DESC
