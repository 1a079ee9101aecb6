-- An award's instant lies less than three days from its local day, so the key of user_awards finds the day's others.
CREATE OR REPLACE FUNCTION pg_temp.fold_streaks() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    WITH change AS (
        SELECT b.user_id,
            range_agg(daterange(b.local_day, b.local_day + 1)) FILTER (WHERE b.type = 'achievement-awarded') AS earned,
            range_agg(daterange(b.local_day, b.local_day + 1)) FILTER (WHERE b.type = 'award-revoked' AND NOT EXISTS (
                SELECT FROM user_awards a
                WHERE a.user_id = b.user_id AND a.local_day = b.local_day
                  AND a.awarded_at BETWEEN b.awarded_at - interval '3 days' AND b.awarded_at + interval '3 days')) AS lost
        FROM batch b WHERE b.type IN ('achievement-awarded', 'award-revoked')
        GROUP BY b.user_id
    ), touched AS (
        SELECT c.user_id, coalesce(s.days, '{}') + coalesce(c.earned, '{}') - coalesce(c.lost, '{}') AS days
        FROM change c
        LEFT JOIN user_streaks s USING (user_id)
    )
    MERGE INTO user_streaks s
    USING (
        SELECT t.user_id, t.days, runs.streak_days,
               (SELECT min(lower(run)) FROM unnest(t.days) AS run WHERE upper(run) - lower(run) = runs.streak_days)
                   AS streak_started_on,
               upper(t.days) - runs.latest_started_on AS latest_days, upper(t.days) - 1 AS latest_ended_on
        FROM touched t
        CROSS JOIN LATERAL (
            SELECT max(upper(run) - lower(run)) AS streak_days, max(lower(run)) AS latest_started_on
            FROM unnest(t.days) AS run
        ) runs
    ) n ON s.user_id = n.user_id
    WHEN MATCHED AND isempty(n.days) THEN DELETE
    WHEN MATCHED AND s.days <> n.days THEN UPDATE SET
        days = n.days, streak_days = n.streak_days, streak_started_on = n.streak_started_on,
        latest_days = n.latest_days, latest_ended_on = n.latest_ended_on
    WHEN NOT MATCHED AND NOT isempty(n.days) THEN INSERT
        (user_id, days, streak_days, streak_started_on, latest_days, latest_ended_on)
        VALUES (n.user_id, n.days, n.streak_days, n.streak_started_on, n.latest_days, n.latest_ended_on);
END $fold$;
