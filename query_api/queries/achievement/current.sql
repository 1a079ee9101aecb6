SELECT a.achievement_id, own.name AS achievement_name, own.description AS achievement_description,
       own.language AS achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at,
       (SELECT json_agg(json_build_object(
            'achievement_name', t.name, 'achievement_description', t.description,
            'achievement_language', t.language) ORDER BY t.language)
        FROM achievement_texts t WHERE t.achievement_id = a.achievement_id)::text AS translations
FROM achievements a
JOIN achievement_texts own ON own.achievement_id = a.achievement_id AND own.language = a.achievement_language
WHERE a.achievement_id = $1
