CREATE TEMPORARY VIEW facts AS
SELECT e.position, e.type, e.user_id, coalesce(u.data, e.data) AS data, e.recorded_at
FROM events e LEFT JOIN upcasted u USING (position)
