-- The newest data of events that are stored in an older version. Only the codec can make them.
CREATE TEMPORARY TABLE upcasted (position bigint PRIMARY KEY, data jsonb NOT NULL) ON COMMIT DROP
