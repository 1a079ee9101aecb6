"""Indexes of the log, for a user's events and for revocations, built while others append."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = {
    "events_of_user": "events (user_id, position) WHERE user_id IS NOT NULL",
    "revocations_in_log": "events (position) WHERE type = 'award-revoked'",
}


def upgrade() -> None:
    """Build them; what an attempt left that was interrupted is built anew."""
    # That takes as long as the log is long, and waits for transactions under way without holding up others.
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    """Drop them."""
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
