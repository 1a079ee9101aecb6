-- Every user's totals then; users without awards too, if $3.
:standing_then, held AS (
    SELECT user_id, count(*) AS total_achievements, sum(points) AS total_points,
           max(award_id) AS count_position, max(award_id) FILTER (WHERE points > 0) AS points_position
    FROM standing GROUP BY user_id
), ranked AS MATERIALIZED (
    SELECT t.user_id, coalesce(h.total_achievements, 0) AS total_achievements,
           coalesce(h.total_points, 0) AS total_points,
           coalesce(h.count_position, t.created_position) AS count_position,
           coalesce(h.points_position, t.created_position) AS points_position
    FROM user_totals t
    LEFT JOIN held h ON h.user_id = t.user_id
    WHERE t.created_position <= $1 AND (h.user_id IS NOT NULL OR $3::boolean)
)
