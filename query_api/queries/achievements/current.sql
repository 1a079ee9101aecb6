-- $3 lists the languages that the client prefers, best first.
SELECT a.achievement_id, t.name AS achievement_name, t.description AS achievement_description,
       t.language AS achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at
FROM achievements a
CROSS JOIN LATERAL (
    SELECT name, description, language FROM achievement_texts t
    WHERE t.achievement_id = a.achievement_id
    ORDER BY array_position($3::text[], lower(t.language)), t.language <> a.achievement_language, t.language
    LIMIT 1
) t
WHERE a.achievement_id > $1
ORDER BY a.achievement_id
LIMIT $2
