WITH :levels
SELECT u.user_id, u.username, ends.highest AS total_points,
       coalesce((SELECT users FROM points_levels l WHERE l.total_points = ends.highest), 0)
           + CASE WHEN ends.highest = 0 THEN ends.unawarded ELSE 0 END AS tied_users,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM ends
CROSS JOIN LATERAL (SELECT ends.highest AS level) wanted
CROSS JOIN LATERAL (SELECT user_id FROM :first_at_level first ORDER BY points_position, user_id LIMIT 1) leader
JOIN users u ON u.user_id = leader.user_id
