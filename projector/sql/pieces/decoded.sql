-- Data of awards have columns of their own, so they are not copied. Awards go into a table in the order of its key in
-- half the time, and projections group by users.
SELECT position, partition, type, user_id, recorded_at,
       CASE WHEN type NOT IN ('achievement-awarded', 'award-revoked') THEN data END AS data,
       (data ->> 'award_id')::bigint AS award_id, (data ->> 'achievement_id')::bigint AS achievement_id,
       (data ->> 'points')::integer AS points, (data ->> 'awarded_at')::timestamptz AS awarded_at,
       (data ->> 'local_day')::date AS local_day
FROM :source
WHERE (:chosen) AND :newest
ORDER BY user_id, awarded_at, award_id
