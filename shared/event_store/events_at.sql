SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE position = ANY($1::bigint[]) ORDER BY position
