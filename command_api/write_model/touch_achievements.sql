UPDATE write_model.achievements SET updated_at = $2, changed_position = $3 WHERE achievement_id = ANY($1::bigint[])
