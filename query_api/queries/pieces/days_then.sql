-- Every user's days then; a multirange joins days that follow each other by itself.
:standing_then, held AS MATERIALIZED (
    SELECT user_id, range_agg(daterange(local_day, local_day + 1)) AS days FROM standing GROUP BY user_id
)
