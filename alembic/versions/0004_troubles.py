"""What holds the relay and the projectors up, in words, and runs of alike records in quarantine."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = (
    "ALTER TABLE quarantine ADD COLUMN last_offset bigint",
    "COMMENT ON TABLE quarantine IS 'applied: the log had the event that the record should have been, so nothing is missing. last_offset: that of the last of a run of alike records, of which record is the first.'",
    "CREATE INDEX quarantine_by_offset ON quarantine (generation, partition, kafka_offset)",
    """
    CREATE TABLE partition_troubles (
        generation integer NOT NULL REFERENCES generations ON DELETE CASCADE,
        partition smallint NOT NULL,
        cause text NOT NULL,
        noted_at timestamptz NOT NULL,
        PRIMARY KEY (generation, partition)
    )
    """,
    "COMMENT ON TABLE partition_troubles IS 'Written again and again while it lasts; what was noted long ago is over.'",
    "GRANT SELECT ON partition_troubles TO laurels_command, laurels_relay, laurels_projector, laurels_query",
    "GRANT INSERT, UPDATE, DELETE ON partition_troubles TO laurels_projector",
    "ALTER TABLE write_model.relay_lease ADD COLUMN topic text, ADD COLUMN trouble text",
    # Projectors compare what was published, and where, with what they get.
    "GRANT USAGE ON SCHEMA write_model TO laurels_projector",
    "GRANT SELECT ON write_model.relay_lease TO laurels_projector",
)
DOWNGRADE = (
    "REVOKE SELECT ON write_model.relay_lease FROM laurels_projector",
    "REVOKE USAGE ON SCHEMA write_model FROM laurels_projector",
    "ALTER TABLE write_model.relay_lease DROP COLUMN topic, DROP COLUMN trouble",
    "DROP TABLE partition_troubles",
    "DROP INDEX quarantine_by_offset",
    "ALTER TABLE quarantine DROP COLUMN last_offset",
    "COMMENT ON TABLE quarantine IS 'applied: the log had the event that the record should have been, so nothing is missing.'",
)


def upgrade() -> None:
    """Extend what is there; services of the version before go on meanwhile."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Give up what this revision added."""
    for statement in DOWNGRADE:
        op.execute(statement)
