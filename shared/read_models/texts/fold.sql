-- The latest text in each language.
CREATE OR REPLACE FUNCTION pg_temp.fold_texts() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    WITH latest AS (
        SELECT DISTINCT ON (achievement_id, data ->> 'achievement_language')
            achievement_id, data ->> 'achievement_language' AS language,
            data ->> 'achievement_name' AS name, data ->> 'achievement_description' AS description
        FROM batch
        WHERE type IN ('achievement-defined', 'achievement-translated')
        ORDER BY achievement_id, data ->> 'achievement_language', position DESC
    )
    INSERT INTO achievement_texts AS t (achievement_id, language, name, description)
    SELECT achievement_id, language, name, description FROM latest
    ON CONFLICT (achievement_id, language) DO UPDATE SET name = excluded.name, description = excluded.description;
END $fold$;
