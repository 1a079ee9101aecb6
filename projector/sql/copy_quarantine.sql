INSERT INTO quarantine (generation, partition, position, user_id, kafka_offset, record, error, applied)
SELECT $1, partition, position, user_id, kafka_offset, record, error, applied FROM quarantine
WHERE generation = $2 AND NOT applied
