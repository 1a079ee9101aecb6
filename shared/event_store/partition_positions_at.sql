SELECT ARRAY(
    SELECT coalesce((SELECT max(e.position) FROM events e WHERE e.partition = p AND e.position <= $1), 0)
    FROM generate_series(0, cardinality(h.partition_positions) - 1) AS p ORDER BY p)
FROM log_head h WHERE $1 <= h.position
