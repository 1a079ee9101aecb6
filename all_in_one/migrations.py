"""Brings a database to the newest migration, from code."""

from pathlib import Path

from alembic.config import Config

from alembic import command

ROOT = Path(__file__).parent.parent


def migrate(url: str) -> None:
    """Run `alembic upgrade head` on the database. Blocks; raises what alembic or the database raise."""
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    command.upgrade(config, "head")
