-- A locked row is being moved just now, so it is skipped.
UPDATE progress SET epoch = epoch + 1 WHERE (generation, partition) IN (
    SELECT generation, partition FROM progress
    WHERE generation = $1 AND partition = $2 AND position = $3 AND epoch = $4 FOR UPDATE SKIP LOCKED)
RETURNING partition, position, epoch
