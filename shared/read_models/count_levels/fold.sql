-- Projectors of other partitions change the same levels, so they take the lock in turn.
CREATE OR REPLACE FUNCTION pg_temp.fold_count_levels() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('laurels levels ' || current_schema()));

    MERGE INTO count_levels l
    USING (
        SELECT total_achievements, sum(users)::bigint AS users
        FROM (
            SELECT total_achievements, 1 AS users FROM total_changes WHERE total_achievements IS NOT NULL
            UNION ALL
            SELECT old_achievements, -1 FROM total_changes WHERE old_achievements IS NOT NULL
        ) m
        GROUP BY total_achievements HAVING sum(users) <> 0
    ) m ON l.total_achievements = m.total_achievements
    WHEN MATCHED AND l.users + m.users = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET users = l.users + m.users
    WHEN NOT MATCHED THEN INSERT (total_achievements, users) VALUES (m.total_achievements, m.users);
END $fold$;
