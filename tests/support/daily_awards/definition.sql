SELECT user_id, local_day, count(*), sum(points) FROM defined_user_awards GROUP BY user_id, local_day
