"""Runs the migrations over the database that the settings name, or over a connection that is handed in."""

import asyncio
import time
from collections.abc import Iterable

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from alembic import context
from command_api import tables as write_side
from projector import generation
from shared.event_store import log as event_log
from shared.read_models import bookkeeping, generations
from shared.runtime.process import load_settings

LOCK = 0x6C6175  # "lau": migrations of one database take turns
PAUSE_SECONDS = 0.1


def target_metadata(live: int | None) -> Iterable[sa.MetaData]:
    """Return what the database should look like; read models are those of the live generation."""
    yield event_log.metadata
    yield write_side.metadata
    yield bookkeeping.metadata
    if live is not None:
        yield generation.metadata(live)


def migrate(connection: Connection) -> None:
    """Bring the database to the revision that alembic was asked for."""
    connection.execute(sa.text("SET lock_timeout = '10s'"))
    _take_turns(connection)
    live = None
    if sa.inspect(connection).has_table("generations"):
        live = connection.scalar(sa.text("SELECT generation FROM generations WHERE state = 'live'"))
    connection.commit()
    schemas = {None, write_side.SCHEMA} | ({generations.schema_name(live)} if live is not None else set())
    context.configure(
        connection=connection,
        target_metadata=list(target_metadata(live)),
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name in schemas,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
        connection.commit()


def _take_turns(connection: Connection) -> None:
    # Asking again and again, since a session that waits in a statement would hold up an index built concurrently.
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
        connection.rollback()
        time.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Connect and migrate."""
    url = context.config.attributes.get("url") or load_settings().database_url
    if not url:
        message = "LAURELS_DATABASE_URL is not set: alembic needs to know which database"
        raise SystemExit(message)
    # Let the driver read the URL, so that every form of it means the same here and in the services.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(main())
