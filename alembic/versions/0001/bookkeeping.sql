CREATE TABLE generations (
    generation integer PRIMARY KEY,
    state text NOT NULL CONSTRAINT generation_state CHECK (state IN ('building', 'standby', 'live')),
    created_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    served_until timestamptz,
    verified_at timestamptz,
    verified_position bigint,
    drift bigint
);
CREATE UNIQUE INDEX one_live_generation ON generations (state) WHERE state = 'live';
COMMENT ON TABLE generations IS 'version: that of the code whose projections fill it. served_until: when another last took its place. drift: rows that differed when it was last verified.';

CREATE TABLE rebuilds (
    rebuild_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation integer,
    transport text NOT NULL,
    state text NOT NULL CONSTRAINT rebuild_state CHECK (state IN ('running', 'done', 'failed', 'dropped')),
    phase text NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    target bigint NOT NULL DEFAULT 0,
    events_per_second double precision,
    error text,
    options jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE progress (
    generation integer NOT NULL REFERENCES generations ON DELETE CASCADE,
    partition smallint NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    kafka_offset bigint,
    PRIMARY KEY (generation, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE progress IS 'Moved in the transaction that writes the rows. kafka_offset, the next to read, is a hint.';

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation integer NOT NULL,
    partition smallint NOT NULL,
    position bigint,
    user_id bigint,
    kafka_offset bigint,
    record bytea,
    error text NOT NULL,
    applied boolean NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    last_offset bigint
);
CREATE INDEX quarantine_by_offset ON quarantine (generation, partition, kafka_offset);
COMMENT ON TABLE quarantine IS 'applied: the log had the event that the record should have been, so nothing is missing. last_offset: that of the last of a run of alike records, of which record is the first.';

CREATE TABLE partition_troubles (
    generation integer NOT NULL REFERENCES generations ON DELETE CASCADE,
    partition smallint NOT NULL,
    cause text NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (generation, partition)
);
COMMENT ON TABLE partition_troubles IS 'Written again and again while it lasts; what was noted long ago is over.';

CREATE FUNCTION read_position(of_generation integer) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.position - 1 FROM events e
         WHERE e.position > (
                SELECT min(p.position) FROM progress p
                WHERE p.generation = of_generation AND p.position < h.partition_positions[p.partition + 1])
            AND e.position > (
                SELECT p.position FROM progress p
                WHERE p.generation = of_generation AND p.partition = e.partition)
         ORDER BY e.position LIMIT 1),
        h.position)
    FROM log_head h
$$;
