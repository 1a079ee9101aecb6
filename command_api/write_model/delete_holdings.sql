DELETE FROM write_model.holdings h USING unnest($1::bigint[], $2::bigint[]) AS gone (user_id, achievement_id)
WHERE (h.user_id, h.achievement_id) = (gone.user_id, gone.achievement_id)
