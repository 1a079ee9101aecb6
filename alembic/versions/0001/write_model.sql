CREATE SCHEMA write_model;

CREATE TABLE write_model.users (
    user_id bigint PRIMARY KEY,
    username text NOT NULL,
    username_key text NOT NULL UNIQUE,
    user_language text NOT NULL,
    user_timezone text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE write_model.achievements (
    achievement_id bigint PRIMARY KEY,
    achievement_language text NOT NULL,
    achievement_point integer NOT NULL,
    repeatable boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    changed_position bigint NOT NULL
);
CREATE INDEX ix_write_model_achievements_changed_position ON write_model.achievements (changed_position);

CREATE TABLE write_model.achievement_texts (
    achievement_id bigint NOT NULL REFERENCES write_model.achievements,
    language text NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (achievement_id, language),
    UNIQUE (language, name_key)
);

CREATE TABLE write_model.holdings (
    user_id bigint NOT NULL,
    achievement_id bigint NOT NULL,
    PRIMARY KEY (user_id, achievement_id)
);
COMMENT ON TABLE write_model.holdings IS 'Who holds which once-only achievement; repeatable ones need no such memory.';

CREATE TABLE write_model.revocations (award_id bigint PRIMARY KEY);

CREATE TABLE write_model.idempotency (
    key text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    position bigint,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX idempotency_recorded_at ON write_model.idempotency USING brin (recorded_at);

CREATE TABLE write_model.relay_lease (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT relay_lease_has_one_row CHECK (singleton),
    epoch bigint NOT NULL,
    position bigint NOT NULL,
    partition_positions bigint[] NOT NULL,
    renewed_at timestamptz NOT NULL,
    topic text,
    trouble text
) WITH (fillfactor = 10);
COMMENT ON TABLE write_model.relay_lease IS 'position is published and acknowledged; it moves only under the epoch of the lease.';
INSERT INTO write_model.relay_lease (epoch, position, partition_positions, renewed_at)
SELECT 0, 0, partition_positions, 'epoch' FROM log_head;
