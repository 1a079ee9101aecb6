-- A level that came or went changes its own gap and that of the next higher level.
CREATE OR REPLACE FUNCTION pg_temp.fold_points_levels() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('laurels levels ' || current_schema()));

    MERGE INTO points_levels l
    USING (
        SELECT total_points, sum(users)::bigint AS users
        FROM (
            SELECT total_points, 1 AS users FROM total_changes WHERE total_achievements > 0
            UNION ALL
            SELECT old_points, -1 FROM total_changes WHERE old_achievements > 0
        ) m
        GROUP BY total_points HAVING sum(users) <> 0
    ) m ON l.total_points = m.total_points
    WHEN MATCHED AND l.users + m.users = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET users = l.users + m.users
    WHEN NOT MATCHED THEN INSERT (total_points, users) VALUES (m.total_points, m.users);

    WITH moved AS (
        SELECT total_points FROM total_changes WHERE total_achievements > 0
        UNION
        SELECT old_points FROM total_changes WHERE old_achievements > 0
    ), around AS (
        SELECT total_points FROM moved
        UNION
        SELECT (SELECT min(l.total_points) FROM points_levels l WHERE l.total_points > m.total_points) FROM moved m
    ), gaps AS (
        SELECT a.total_points,
            a.total_points - (SELECT max(l.total_points) FROM points_levels l WHERE l.total_points < a.total_points) AS gap
        FROM around a
    )
    UPDATE points_levels l SET gap_below = g.gap
    FROM gaps g
    WHERE l.total_points = g.total_points AND l.gap_below IS DISTINCT FROM g.gap;
END $fold$;
