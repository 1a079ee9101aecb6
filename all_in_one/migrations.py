"""Brings a database to the newest migration, from code."""

from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alembic import command
from shared.runtime.database import FAILURES
from shared.runtime.settings import Settings

ROOT = Path(__file__).parent.parent
FOLDERS = ("laurels_migrations", "alembic")
"""Where the migrations are: the first in an installed package, the second in a checkout."""
DEFAULT_PARTITIONS: Final[int] = Settings.model_fields["partitions"].default
NOT_MIGRATED: tuple[type[Exception], ...] = (SQLAlchemyError, CommandError, ValueError, *FAILURES)


class MigrationError(Exception):
    """The database could not be migrated; the message is one sentence for the operator."""


def migrate(url: str, partitions: int = DEFAULT_PARTITIONS) -> None:
    """Run `alembic upgrade head` on the database; a new one gets so many partitions. Blocks; raises MigrationError."""
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.attributes.update(url=url, partitions=partitions)
    try:
        command.upgrade(config, "head")
    except NOT_MIGRATED as error:
        cause = error.orig.__cause__ or error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = str(cause).strip().partition("\n")[0].rstrip(".")
        raise MigrationError(f"The database cannot be prepared: {reason or type(cause).__name__}.") from error


def _scripts() -> Path:
    # The library that is called alembic too has no env.py.
    return next(folder for folder in (ROOT / name for name in FOLDERS) if (folder / "env.py").is_file())
