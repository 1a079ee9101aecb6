-- A day whose last award is revoked has no row.
CREATE OR REPLACE FUNCTION pg_temp.fold_daily_awards() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    MERGE INTO daily_awards d
    USING (
        SELECT user_id, local_day, sum(sign)::bigint AS awards, sum(sign * points)::bigint AS points
        FROM (
            SELECT *, CASE type WHEN 'achievement-awarded' THEN 1 ELSE -1 END AS sign FROM batch
            WHERE type IN ('achievement-awarded', 'award-revoked')
        ) b
        GROUP BY user_id, local_day
    ) c ON d.user_id = c.user_id AND d.local_day = c.local_day
    WHEN MATCHED AND d.awards + c.awards = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET awards = d.awards + c.awards, points = d.points + c.points
    WHEN NOT MATCHED AND c.awards <> 0 THEN
        INSERT (user_id, local_day, awards, points) VALUES (c.user_id, c.local_day, c.awards, c.points);
END $fold$;
