CREATE TABLE events (
    position bigint PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    partition smallint NOT NULL,
    type text NOT NULL,
    schema_version smallint NOT NULL,
    user_id bigint,
    data jsonb NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX events_of_user ON events (user_id, position) WHERE user_id IS NOT NULL;
CREATE INDEX revocations_in_log ON events (position) WHERE type = 'award-revoked';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the event log is append-only: % on % is refused', tg_op, tg_table_name
            USING errcode = 'insufficient_privilege';
    END $$;
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE log_head (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT log_head_has_one_row CHECK (singleton),
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    partition_positions bigint[] NOT NULL,
    catalogue_position bigint NOT NULL,
    last_user_id bigint NOT NULL,
    last_achievement_id bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE log_head IS 'Locked by every append. partition_positions[p + 1] is the last position of partition p; its length is the number of partitions.';
INSERT INTO log_head
SELECT true, 0, 'epoch', array_fill(0::bigint, ARRAY[current_setting('laurels.partitions')::integer]), 0, 0, 0;

CREATE FUNCTION position_at(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
    DECLARE
        low bigint := 0;
        high bigint := (SELECT position FROM log_head);
        middle bigint;
    BEGIN
        WHILE low < high LOOP
            middle := (low + high + 1) / 2;
            IF (SELECT recorded_at FROM events WHERE position = middle) <= moment THEN
                low := middle;
            ELSE
                high := middle - 1;
            END IF;
        END LOOP;
        RETURN low;
    END $$;
