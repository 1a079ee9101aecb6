-- Events, head and notification in one round trip.
WITH appended AS (
    INSERT INTO events (position, event_id, partition, type, schema_version, user_id, data, recorded_at)
    SELECT position, event_id, partition, type, schema_version, user_id, data::jsonb, $8
    FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::text[], $5::smallint[], $6::bigint[], $7::text[])
        AS e (position, event_id, partition, type, schema_version, user_id, data)
), head AS (
    UPDATE log_head SET position = $9, recorded_at = $8, partition_positions = $10, catalogue_position = $11,
                        last_user_id = $12, last_achievement_id = $13
)
SELECT pg_notify($14, $9::bigint::text)
