UPDATE write_model.achievement_texts SET name_key = E'\x01' || achievement_id
WHERE achievement_id = ANY($1::bigint[])
  AND (achievement_id, language) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
