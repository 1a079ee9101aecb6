SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
