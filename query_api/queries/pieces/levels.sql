-- The ends of everybody's levels: those of users with awards, joined at level 0 by users without, if $1.
levels AS (
    SELECT (SELECT max(total_points) FROM points_levels) AS highest_awarded,
           (SELECT min(total_points) FROM points_levels) AS lowest_awarded,
           coalesce((SELECT users FROM count_levels WHERE total_achievements = 0 AND $1::boolean), 0) AS unawarded
), ends AS (
    SELECT coalesce(highest_awarded, 0) AS highest,
           CASE WHEN unawarded > 0 THEN 0 ELSE lowest_awarded END AS lowest,
           unawarded, lowest_awarded
    FROM levels
    WHERE highest_awarded IS NOT NULL OR unawarded > 0
)
