-- The run of s.days that reaches today or yesterday.
(
    SELECT run FROM unnest(s.days) AS run
    WHERE run @> today.day OR run @> today.day - 1
    ORDER BY run @> today.day DESC
    LIMIT 1
)
