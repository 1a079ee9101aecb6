-- The Read-Position of a generation: all events up to it are in the generation's read models. A partition is complete up
-- to its first event that is not projected, not only up to its checkpoint: with the latter an event in a partition that
-- was quiet for long would take the Read-Position back.
CREATE FUNCTION read_position(of_generation integer) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.position - 1 FROM events e
         WHERE e.position > (
                SELECT min(p.position) FROM progress p
                WHERE p.generation = of_generation AND p.position < h.partition_positions[p.partition + 1])
            AND e.position > (
                SELECT p.position FROM progress p
                WHERE p.generation = of_generation AND p.partition = e.partition)
         ORDER BY e.position LIMIT 1),
        h.position)
    FROM log_head h
$$
