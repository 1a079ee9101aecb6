UPDATE progress SET epoch = epoch + 1
WHERE generation = $1 AND ($2::smallint[] IS NULL OR partition = ANY($2))
RETURNING partition, position, epoch, kafka_offset
