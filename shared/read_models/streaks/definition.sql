-- A day minus its rank among the user's days is the same for all days of one run.
SELECT user_id, range_agg(daterange(first, last + 1)), max(last - first + 1),
       (array_agg(first ORDER BY last - first DESC, first))[1],
       (array_agg(last - first + 1 ORDER BY last DESC))[1], max(last)
FROM (
    SELECT user_id, min(local_day) AS first, max(local_day) AS last
    FROM (
        SELECT user_id, local_day,
               local_day - (row_number() OVER (PARTITION BY user_id ORDER BY local_day))::int AS run
        FROM (SELECT DISTINCT user_id, local_day FROM defined_user_awards) days
    ) ranked
    GROUP BY user_id, run
) runs
GROUP BY user_id
