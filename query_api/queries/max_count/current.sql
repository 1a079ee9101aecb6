-- The levels say which value is the greatest and how many have it, the ranking who reached it first.
SELECT u.user_id, u.username, top.total_achievements, top.users AS tied_users,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (
    SELECT total_achievements, users FROM count_levels
    WHERE total_achievements > 0 OR $1::boolean
    ORDER BY total_achievements DESC LIMIT 1
) top
CROSS JOIN LATERAL (
    SELECT t.user_id FROM user_totals t
    WHERE t.total_achievements = top.total_achievements
    ORDER BY t.count_position, t.user_id LIMIT 1
) leader
JOIN users u ON u.user_id = leader.user_id
