INSERT INTO write_model.holdings (user_id, achievement_id) SELECT * FROM unnest($1::bigint[], $2::bigint[])
ON CONFLICT DO NOTHING
