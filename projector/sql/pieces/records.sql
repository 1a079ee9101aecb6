(
    SELECT position, partition, type, schema_version, user_id, recorded_at, data::jsonb AS data
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[])
        AS r (position, partition, type, schema_version, user_id, recorded_at, data)
) AS records
