"""The log, the write model, the read side's bookkeeping, the services' roles and the first generation."""

import re

import sqlalchemy as sa

from alembic import op
from projector.generation import create_generation_sql
from shared.runtime.process import load_settings

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = ("laurels_command", "laurels_relay", "laurels_projector", "laurels_query")

LOG = """
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
CREATE TABLE log_head (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT log_head_has_one_row CHECK (singleton),
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    partition_positions bigint[] NOT NULL,
    catalogue_position bigint NOT NULL,
    last_user_id bigint NOT NULL,
    last_achievement_id bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE log_head IS 'Locked by whoever appends. partition_positions[p + 1] is the last position of partition p; its length is the number of partitions.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the event log is append-only: % on % is refused', tg_op, tg_table_name
            USING errcode = 'insufficient_privilege';
    END $$;
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

WRITE_MODEL = """
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
    renewed_at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE write_model.relay_lease IS 'position is published and acknowledged; it moves only under the epoch of whoever holds the lease.';
"""

READ_SIDE = """
CREATE TABLE generations (
    generation integer PRIMARY KEY,
    state text NOT NULL CONSTRAINT generation_state CHECK (state IN ('building', 'live', 'kept')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX one_live_generation ON generations (state) WHERE state = 'live';
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
    quarantined_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE quarantine IS 'applied: the log had the event that the record should have been, so nothing is missing.';

-- All events up to the answer are in the generation's rows. A partition without news holds nobody up.
CREATE FUNCTION read_position(of_generation integer) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT min(p.position) FROM progress p
         WHERE p.generation = of_generation AND p.position < h.partition_positions[p.partition + 1]),
        h.position)
    FROM log_head h
$$;
"""

GRANTS = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO laurels_command, laurels_relay, laurels_projector, laurels_query;
GRANT SELECT ON events, log_head, generations, progress, alembic_version
    TO laurels_command, laurels_relay, laurels_projector, laurels_query;
GRANT INSERT ON events TO laurels_command;
GRANT UPDATE ON log_head TO laurels_command;

GRANT USAGE ON SCHEMA write_model TO laurels_command, laurels_relay;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA write_model TO laurels_command;
REVOKE ALL ON write_model.relay_lease FROM laurels_command;
GRANT SELECT, UPDATE ON write_model.relay_lease TO laurels_relay;

GRANT INSERT, UPDATE, DELETE ON generations, progress TO laurels_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON quarantine TO laurels_projector;
GRANT SELECT ON quarantine TO laurels_query;
"""


def upgrade() -> None:
    """Build everything from an empty database."""
    _create_roles()
    for part in (LOG, WRITE_MODEL, READ_SIDE, GRANTS):
        _execute_all(part)
    _first_rows(load_settings().partitions)
    _first_generation()


def downgrade() -> None:
    """Refused: the log of record is not thrown away by a migration."""
    message = "the first migration cannot be taken back: it would drop the event log; drop the database instead"
    raise RuntimeError(message)


def _execute_all(script: str) -> None:
    # The driver takes one statement at a time; in these scripts a statement ends where the next line is not indented.
    for statement in re.split(r";\n+(?=\S)", script.strip().removesuffix(";")):
        op.execute(sa.text(statement.replace(":", r"\:")))


def _create_roles() -> None:
    # Roles belong to the whole server: another database, perhaps migrated at this moment, may have made them.
    for role in ROLES:
        op.execute(f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
        """)
        # Whoever is no superuser has to be a member to become the role; where it is one already, this may be refused.
        op.execute(f"""
            DO $$ BEGIN
                IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                    EXECUTE 'GRANT {role} TO ' || quote_ident(current_user);
                END IF;
            EXCEPTION WHEN insufficient_privilege THEN NULL; END $$
        """)
        op.execute(f"""
            DO $$ BEGIN
                EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO {role}', current_database());
            END $$
        """)
    op.execute("""
        DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO laurels_projector', current_database()); END $$
    """)


def _first_rows(partitions: int) -> None:
    nothing_yet = f"array_fill(0::bigint, ARRAY[{partitions}])"
    op.execute(f"INSERT INTO log_head VALUES (true, 0, 'epoch', {nothing_yet}, 0, 0, 0)")
    op.execute(f"INSERT INTO write_model.relay_lease VALUES (true, 0, 0, {nothing_yet}, 'epoch')")


def _first_generation() -> None:
    # A new database starts with the read models of the code that makes it; later ones come by `laurels rebuild`.
    op.execute("SET LOCAL ROLE laurels_projector")
    for statement in create_generation_sql(1):
        op.execute(statement)
    op.execute("RESET ROLE")
    op.execute("INSERT INTO generations (generation, state) VALUES (1, 'live')")
    op.execute("""
        INSERT INTO progress (generation, partition)
        SELECT 1, partition FROM log_head, generate_series(0, cardinality(partition_positions) - 1) AS partition
    """)
