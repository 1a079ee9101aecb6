-- One row of the two differences, from `ends`, `closest` and the users in `reached` by role.
SELECT ends.highest - ends.lowest AS max_difference,
       top.user_id AS top_id, top.username AS top_name, top.level AS top_points,
       bottom.user_id AS bottom_id, bottom.username AS bottom_name, bottom.level AS bottom_points,
       closest.difference AS min_difference,
       higher.user_id AS higher_id, higher.username AS higher_name, higher.level AS higher_points,
       lower.user_id AS lower_id, lower.username AS lower_name, lower.level AS lower_points,
       ARRAY(SELECT user_id FROM incomplete_users i
             WHERE i.user_id IN (top.user_id, bottom.user_id, higher.user_id, lower.user_id)) AS incomplete
FROM ends
CROSS JOIN LATERAL (
    SELECT * FROM reached WHERE role = 'top' ORDER BY points_position, user_id LIMIT 1
) top
CROSS JOIN LATERAL (
    SELECT * FROM reached WHERE role = 'bottom' ORDER BY points_position, user_id LIMIT 1
) bottom
LEFT JOIN closest ON true
LEFT JOIN LATERAL (
    SELECT * FROM reached WHERE role = 'higher' ORDER BY points_position, user_id LIMIT 1
) higher ON true
LEFT JOIN LATERAL (
    SELECT * FROM reached WHERE role = 'lower' AND reached.user_id <> higher.user_id
    ORDER BY points_position, user_id LIMIT 1
) lower ON true
