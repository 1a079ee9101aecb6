WITH :ranked_then
SELECT shown.user_id, profile.username, shown.total_achievements,
       (SELECT count(*) FROM ranked r WHERE r.total_achievements = shown.total_achievements) AS tied_users,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = shown.user_id) AS incomplete
FROM (SELECT * FROM ranked ORDER BY total_achievements DESC, count_position, user_id LIMIT 1) shown
CROSS JOIN :profile_then profile
