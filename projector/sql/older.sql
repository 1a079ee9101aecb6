SELECT position, partition, type, schema_version, user_id, recorded_at, data::text AS data
FROM events
WHERE (:chosen) AND :older
