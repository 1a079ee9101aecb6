SELECT r.number - 1 AS number, e.position IS NOT NULL AS known, e.event_id IS NOT DISTINCT FROM r.event_id AS same
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::uuid[]) WITH ORDINALITY
    AS r (position, partition, user_id, event_id, number)
LEFT JOIN events e ON e.position = r.position
WHERE (e.event_id, e.partition, e.user_id) IS DISTINCT FROM (r.event_id, r.partition, r.user_id)
