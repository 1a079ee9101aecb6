"""The event store, the write model, the read side's bookkeeping, the services' roles and the first generation.

The statements stand in `.sql` files beside it. They are frozen: every later change is a migration of its own.
"""

from pathlib import Path

from alembic import op

revision = "v1_0001"
down_revision = None
branch_labels = None
depends_on = None

FOLDER = Path(__file__).with_name("0001")
SCRIPTS = ("roles", "event_store", "write_model", "bookkeeping", "grants", "generation_1")


def upgrade() -> None:
    """Build everything from an empty database."""
    # This also begins the transaction, since SQLAlchemy does not see the scripts: the driver takes each as a whole.
    op.execute("SET LOCAL search_path = public")
    connection = op.get_bind().connection.dbapi_connection
    for name in SCRIPTS:
        script = (FOLDER / f"{name}.sql").read_text("utf-8")
        connection.run_async(lambda driver, script=script: driver.execute(script))  # type: ignore[union-attr]  # it is open


def downgrade() -> None:
    """Refused: no migration drops the event log."""
    message = "the first migration cannot be taken back: it would drop the event log; drop the database instead"
    raise RuntimeError(message)
