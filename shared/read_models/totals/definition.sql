SELECT u.user_id, count(a.award_id) AS total_achievements, coalesce(sum(a.points), 0) AS total_points,
       u.position AS created_position, greatest(u.position, max(a.award_id)) AS count_position,
       greatest(u.position, max(a.award_id) FILTER (WHERE a.points > 0)) AS points_position
FROM batch u LEFT JOIN defined_user_awards a USING (user_id)
WHERE u.type = 'user-created'
GROUP BY u.user_id, u.position
