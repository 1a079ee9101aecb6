SELECT quarantine_id, generation, partition, position, user_id, kafka_offset,
       coalesce(last_offset, kafka_offset) AS last_offset, error, applied, quarantined_at
FROM quarantine WHERE quarantine_id > $1 ORDER BY quarantine_id LIMIT $2
