INSERT INTO write_model.achievements
    (achievement_id, achievement_language, achievement_point, repeatable, created_at, updated_at, changed_position)
SELECT *, $5::timestamptz, $5::timestamptz, $6::bigint
FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::boolean[])
