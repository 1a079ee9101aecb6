-- Two who share a level differ by 0, else the gap to the next lower level counts; of equal ones the highest.
WITH :ranked_then, ends AS (
    SELECT max(total_points) AS highest, min(total_points) AS lowest FROM ranked HAVING count(*) > 0
), closest AS (
    SELECT difference, total_points AS higher
    FROM (
        SELECT total_points,
               CASE WHEN count(*) > 1 THEN 0 ELSE total_points - lag(total_points) OVER (ORDER BY total_points) END
                   AS difference
        FROM ranked GROUP BY total_points
    ) levels
    WHERE difference IS NOT NULL
    ORDER BY difference, total_points DESC
    LIMIT 1
), :wanted_roles, reached AS MATERIALIZED (
    SELECT shown.role, shown.level, shown.user_id, profile.username, shown.points_position
    FROM (
        SELECT wanted.role, wanted.level, first.user_id, first.points_position
        FROM wanted
        CROSS JOIN LATERAL (
            SELECT user_id, points_position FROM ranked WHERE total_points = wanted.level
            ORDER BY points_position, user_id LIMIT 2
        ) first
    ) shown
    CROSS JOIN :profile_then profile
)
:difference_of_roles
