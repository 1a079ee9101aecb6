-- A record that moves no checkpoint is read again after a restart.
INSERT INTO quarantine (generation, partition, position, user_id, kafka_offset, record, error, applied)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.generation = $1 AND q.partition = $2 AND q.kafka_offset = $5 AND q.record IS NOT DISTINCT FROM $6)
