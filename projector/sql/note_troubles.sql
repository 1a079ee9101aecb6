INSERT INTO partition_troubles (generation, partition, cause, noted_at)
SELECT generation, partition, cause, now()
FROM unnest($1::int[], $2::smallint[], $3::text[]) AS t (generation, partition, cause)
WHERE generation IN (SELECT generation FROM generations)
ON CONFLICT (generation, partition) DO UPDATE SET cause = excluded.cause, noted_at = excluded.noted_at
