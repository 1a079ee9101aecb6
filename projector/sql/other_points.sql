UPDATE batch b SET points = n.points FROM unnest($1::bigint[], $2::int[]) AS n (achievement_id, points)
WHERE b.achievement_id = n.achievement_id AND b.points IS NOT NULL
