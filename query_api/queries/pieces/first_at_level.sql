-- The two users who reached wanted.level first. At 0 there are two kinds, each with its own index.
LATERAL (
    (SELECT user_id, points_position FROM user_totals
     WHERE total_achievements > 0 AND total_points = wanted.level ORDER BY points_position, user_id LIMIT 2)
    UNION ALL
    (SELECT user_id, points_position FROM user_totals
     WHERE $1::boolean AND wanted.level = 0 AND total_achievements = 0 ORDER BY count_position, user_id LIMIT 2)
    ORDER BY points_position, user_id LIMIT 2
)
