"""Runs the migrations over the database of LAURELS_DATABASE_URL, or over one whose URL is handed in.

Neither this file nor a migration imports anything of ours, so that what they build stays what it was when they were
written.
"""

import asyncio
import difflib
import io
import os
import time
from pathlib import Path

import asyncpg
import sqlalchemy as sa
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from alembic import context, util

URL, PARTITIONS = "LAURELS_DATABASE_URL", "LAURELS_PARTITIONS"
DEFAULT_PARTITIONS, MOST_PARTITIONS = 8, 1024
ENV_FILE = Path(".env")
NEARLY_EQUAL = 0.9
"""How much a name has to resemble a setting to be taken for a misspelt one."""
LOCK = 0x6C6175  # "lau": migrations of one database take turns
PAUSE_SECONDS = 0.1
EARLIER = ("0001", "0002", "0003", "0004")
"""The revisions of the development versions, which no migration leads on from."""
MADE_EARLIER = (
    "the database was made by an earlier development version of Laurels; export it with that version "
    "(`laurels export`) and restore it into a new data folder or database (`laurels restore`)"
)


def settings() -> dict[str, str | None]:
    """Return the environment over the file `.env`; exit with a sentence if either is not as it should be."""
    named = {name.upper(): value for source in (_env_file(), os.environ) for name, value in source.items()}
    for name in named.keys() - {URL, PARTITIONS}:
        if likely := difflib.get_close_matches(name, (URL, PARTITIONS), n=1, cutoff=NEARLY_EQUAL):
            raise SystemExit(f"{name} is no setting of Laurels: did you mean {likely[0]}?")
    return named


def _env_file() -> dict[str, str | None]:
    try:
        text = ENV_FILE.read_text("utf-8-sig") if ENV_FILE.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{ENV_FILE} cannot be read: {error}.") from error
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            before, _, _ = binding.original.string.partition(binding.original.string.lstrip())
            line = binding.original.line + before.count("\n")
            raise SystemExit(f"{ENV_FILE}, line {line}: this is not of the form NAME=value.")
    return dotenv_values(stream=io.StringIO(text))


def target() -> tuple[str, int]:
    """Return the URL of the database and the number of partitions that a new one gets."""
    handed_in = context.config.attributes
    if "url" in handed_in:
        return handed_in["url"], handed_in["partitions"]
    named = settings()
    partitions = named.get(PARTITIONS) or str(DEFAULT_PARTITIONS)
    if not (url := named.get(URL)):
        raise SystemExit(f"{URL} is not set: alembic needs to know which database")
    if not partitions.isdecimal() or not 1 <= int(partitions) <= MOST_PARTITIONS:
        raise SystemExit(f"{PARTITIONS}: must be a number from 1 to {MOST_PARTITIONS}")
    return url, int(partitions)


def migrate(connection: Connection, partitions: int) -> None:
    """Bring the database to the revision that alembic was asked for."""
    connection.execute(sa.text("SET lock_timeout = '10s'"))
    connection.execute(sa.text("SELECT set_config('laurels.partitions', :count, false)"), {"count": str(partitions)})
    connection.commit()
    _take_turns(connection)
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    try:
        if context.get_context().get_current_revision() in EARLIER:
            raise util.CommandError(MADE_EARLIER)
        connection.commit()
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
        connection.commit()


def _take_turns(connection: Connection) -> None:
    # Asking again and again, since a session that waits in a statement would hold up an index built concurrently.
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
        connection.rollback()
        time.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Connect and migrate."""
    url, partitions = target()
    # Let the driver read the URL, so that every form of it means the same here and in the services.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate, partitions)
    finally:
        await engine.dispose()


asyncio.run(main())
