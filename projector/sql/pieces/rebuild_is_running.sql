-- A reader must not take the lock for a moment: a rebuild that begins just then would be held up.
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = hashtext('laurels rebuild at work')
)
