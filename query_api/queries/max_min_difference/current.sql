-- The smallest difference is 0 at a level that two share, else the smallest gap; of equal ones, that with most points.
WITH :levels, closest AS (
    SELECT difference, higher
    FROM (
        (SELECT 0 AS difference, total_points AS higher FROM points_levels
         WHERE users > 1 ORDER BY total_points DESC LIMIT 1)
        UNION ALL
        (SELECT 0, 0 FROM ends
         WHERE unawarded > 1
            OR (unawarded = 1 AND EXISTS (SELECT FROM points_levels l WHERE l.total_points = 0)))
        UNION ALL
        (SELECT gap_below, total_points FROM points_levels
         WHERE gap_below IS NOT NULL ORDER BY gap_below, total_points DESC LIMIT 1)
        UNION ALL
        (SELECT lowest_awarded, lowest_awarded FROM ends WHERE unawarded > 0 AND lowest_awarded > 0)
    ) candidates
    ORDER BY difference, higher DESC
    LIMIT 1
), :wanted_roles, reached AS MATERIALIZED (
    SELECT wanted.role, wanted.level, u.user_id, u.username, first.points_position
    FROM wanted
    CROSS JOIN :first_at_level first
    JOIN users u ON u.user_id = first.user_id
)
:difference_of_roles
