"""Questions about the catalogue."""

from typing import Final

# $3 lists the languages that the client would like, best first.
ACHIEVEMENTS: Final = """
SELECT a.achievement_id, t.name AS achievement_name, t.description AS achievement_description,
       t.language AS achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at
FROM {g}.achievements a
CROSS JOIN LATERAL (
    SELECT name, description, language FROM {g}.achievement_texts t
    WHERE t.achievement_id = a.achievement_id
    ORDER BY array_position($3::text[], lower(t.language)), t.language <> a.achievement_language, t.language
    LIMIT 1
) t
WHERE a.achievement_id > $1
ORDER BY a.achievement_id
LIMIT $2
"""

ACHIEVEMENT: Final = """
SELECT a.achievement_id, own.name AS achievement_name, own.description AS achievement_description,
       own.language AS achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at,
       (SELECT json_agg(json_build_object(
            'achievement_name', t.name, 'achievement_description', t.description,
            'achievement_language', t.language) ORDER BY t.language)
        FROM {g}.achievement_texts t WHERE t.achievement_id = a.achievement_id)::text AS translations
FROM {g}.achievements a
JOIN {g}.achievement_texts own ON own.achievement_id = a.achievement_id AND own.language = a.achievement_language
WHERE a.achievement_id = $1
"""
