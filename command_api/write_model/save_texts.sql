INSERT INTO write_model.achievement_texts (achievement_id, language, name, name_key, description)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (achievement_id, language) DO UPDATE SET
    name = excluded.name, name_key = excluded.name_key, description = excluded.description
