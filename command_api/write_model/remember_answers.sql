-- A bulk request may have bound the key meanwhile, without the lock that groups take; it keeps it.
INSERT INTO write_model.idempotency (key, fingerprint, status, body, position, recorded_at)
SELECT *, $6::timestamptz FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bytea[], $5::bigint[])
ON CONFLICT (key) DO NOTHING
