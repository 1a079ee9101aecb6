-- Events that the read models do not show yet explain nothing. A user without further events has one empty row.
SELECT e.position, e.event_id, e.type, e.schema_version, e.recorded_at, e.data,
       EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM :named_user u
LEFT JOIN LATERAL (
    SELECT l.position, l.event_id, l.type, l.schema_version, l.recorded_at, l.data::text AS data
    FROM events l
    JOIN progress p ON p.generation = current_setting('laurels.generation')::integer
        AND p.partition = l.partition AND p.position >= l.position
    WHERE l.user_id = u.user_id AND l.position > $2
    ORDER BY l.position
    LIMIT $3
) e ON true
ORDER BY e.position
