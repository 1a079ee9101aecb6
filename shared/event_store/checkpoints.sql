SELECT p.generation, p.partition, p.position, p.epoch, h.partition_positions[p.partition + 1] AS last
FROM progress p, log_head h
WHERE p.generation = ANY($1::int[])
ORDER BY p.generation, p.partition
