"""Rebuilds: versions of the read models, generations that stand by, and what going back in time looks up."""

import sqlalchemy as sa

from alembic import op
from projector.generation import create_generation_sql
from shared.read_models.generations import VERSION, schema_name

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GENERATIONS = (
    "ALTER TABLE generations DROP CONSTRAINT generation_state",
    "UPDATE generations SET state = 'standby' WHERE state = 'kept'",
    """
    ALTER TABLE generations
        ADD CONSTRAINT generation_state CHECK (state IN ('building', 'standby', 'live')),
        ADD COLUMN version integer NOT NULL DEFAULT 0,
        ADD COLUMN served_until timestamptz,
        ADD COLUMN verified_at timestamptz,
        ADD COLUMN verified_position bigint,
        ADD COLUMN drift bigint
    """,
    "ALTER TABLE generations ALTER COLUMN version DROP DEFAULT",
    "COMMENT ON TABLE generations IS 'version: that of the code whose projections fill it. served_until: when another last took its place. drift: rows that differed when it was last verified.'",
)

REBUILDS = (
    """
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
    )
    """,
    "GRANT SELECT ON rebuilds TO laurels_command, laurels_relay, laurels_projector, laurels_query",
    "GRANT INSERT, UPDATE, DELETE ON rebuilds TO laurels_projector",
)

# recorded_at never goes back as positions go up, so halving finds the place with a few look-ups by key.
POSITION_AT = """
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
    END $$
"""

# A partition is complete up to its first event that is not projected, not only up to its last one that is: with the
# latter an event in a partition that was quiet for long would take the Read-Position back.
READ_POSITION = """
CREATE OR REPLACE FUNCTION read_position(of_generation integer) RETURNS bigint LANGUAGE sql STABLE AS $$
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
$$
"""


def upgrade() -> None:
    """Extend what is there; commands and reads of the version before go on meanwhile."""
    for statement in (*GENERATIONS, *REBUILDS, POSITION_AT, READ_POSITION):
        op.execute(sa.text(statement.replace(":", r"\:")))
    _renew_an_empty_generation()


def downgrade() -> None:
    """Give up what this revision added."""
    for row in op.get_bind().execute(sa.text("SELECT generation FROM generations WHERE state <> 'live'")).all():
        op.execute(f"DROP SCHEMA {schema_name(row.generation)} CASCADE")
        op.execute(f"DELETE FROM quarantine WHERE generation = {row.generation}")
    for statement in (
        "DROP FUNCTION position_at",
        "DROP TABLE rebuilds",
        "ALTER TABLE generations DROP CONSTRAINT generation_state",
        "DELETE FROM generations WHERE state <> 'live'",
        """
        ALTER TABLE generations
            DROP COLUMN version, DROP COLUMN served_until, DROP COLUMN verified_at, DROP COLUMN verified_position, DROP COLUMN drift,
            ADD CONSTRAINT generation_state CHECK (state IN ('building', 'live', 'kept'))
        """,
    ):
        op.execute(statement)


def _renew_an_empty_generation() -> None:
    # Where nothing has happened yet, the read models are those of this code at once; else a rebuild brings them.
    connection = op.get_bind()
    if connection.scalar(sa.text("SELECT position FROM log_head")):
        return
    live = connection.scalar(sa.text("SELECT generation FROM generations WHERE state = 'live'"))
    op.execute("SET LOCAL ROLE laurels_projector")
    op.execute(f"DROP SCHEMA {schema_name(live)} CASCADE")
    for statement in create_generation_sql(live):
        op.execute(statement)
    op.execute("RESET ROLE")
    op.execute(f"UPDATE generations SET version = {VERSION}")
