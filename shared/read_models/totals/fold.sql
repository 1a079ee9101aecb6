-- A revoked award takes its position with it, so the awards that remain are asked for the position.
-- `total_changes` tells the levels what each user's totals were and are.
CREATE OR REPLACE FUNCTION pg_temp.fold_totals() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    WITH change AS (
        SELECT user_id,
            count(*) FILTER (WHERE type = 'achievement-awarded')
                - count(*) FILTER (WHERE type = 'award-revoked') AS achievements,
            coalesce(sum(CASE type WHEN 'achievement-awarded' THEN points WHEN 'award-revoked' THEN -points END), 0)
                AS points,
            min(position) FILTER (WHERE type = 'user-created') AS created_position,
            max(position) FILTER (WHERE type = 'achievement-awarded') AS count_position,
            max(position) FILTER (WHERE type = 'achievement-awarded' AND points > 0) AS points_position,
            count(*) FILTER (WHERE type = 'award-revoked') > 0 AS revoked
        FROM batch
        WHERE type IN ('user-created', 'achievement-awarded', 'award-revoked')
        GROUP BY user_id
    ), outcome AS (
        SELECT c.user_id,
            t.total_achievements AS old_achievements, t.total_points AS old_points,
            coalesce(t.total_achievements, 0) + c.achievements AS total_achievements,
            coalesce(t.total_points, 0) + c.points AS total_points,
            coalesce(t.created_position, c.created_position) AS created_position,
            CASE WHEN c.revoked THEN greatest(coalesce(t.created_position, c.created_position), s.count_position)
                 ELSE greatest(c.created_position, t.count_position, c.count_position) END AS count_position,
            CASE WHEN c.revoked THEN greatest(coalesce(t.created_position, c.created_position), s.points_position)
                 ELSE greatest(c.created_position, t.points_position, c.points_position) END AS points_position
        FROM change c
        LEFT JOIN user_totals t ON t.user_id = c.user_id
        LEFT JOIN LATERAL (
            SELECT max(award_id) AS count_position, max(award_id) FILTER (WHERE points > 0) AS points_position
            FROM user_awards a WHERE c.revoked AND a.user_id = c.user_id
        ) s ON true
    ), written AS (
        INSERT INTO user_totals AS t (user_id, total_achievements, total_points, created_position,
                                      count_position, points_position)
        SELECT user_id, total_achievements, total_points, created_position, count_position, points_position FROM outcome
        ON CONFLICT (user_id) DO UPDATE SET
            total_achievements = excluded.total_achievements, total_points = excluded.total_points,
            count_position = excluded.count_position, points_position = excluded.points_position
    )
    INSERT INTO total_changes (old_achievements, old_points, total_achievements, total_points)
    SELECT old_achievements, old_points, total_achievements, total_points FROM outcome;
END $fold$;
