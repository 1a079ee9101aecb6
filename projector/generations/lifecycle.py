"""A generation: one PostgreSQL schema with every read model in it. How one comes, goes live and goes."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, SetTableComment

from shared.event_store.log import checkpoints, partition_count
from shared.read_models.bookkeeping import GENERATIONS_CHANNEL, PROJECTED_CHANNEL
from shared.read_models.generations import schema_name
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, version
from shared.runtime.database import Connection, Role
from shared.runtime.sql import sql

REGISTER: Final = "INSERT INTO generations (generation, state, version) VALUES ($1, 'building', $2)"
FIRST_PROGRESS: Final = "INSERT INTO progress (generation, partition) SELECT $1, generate_series(0, $2::int - 1)"
UNREGISTER: Final = "DELETE FROM generations WHERE generation = $1 AND state <> 'live'"

PROMOTE: Final = "UPDATE generations SET state = 'live' WHERE generation = $1 AND state = 'standby'"

LOCK_SECONDS: Final = 1.0
"""How long a switch may hold up the projection of the live generation; reads and commands go on meanwhile."""
PAUSE_SECONDS: Final = 0.005


class NotOnStandby(Exception):
    """The generation is not on standby; the message is one sentence."""


class Behind(Exception):
    """The generation has not reached what readers have seen already; the message is one sentence."""


def metadata(generation: int, models: Iterable[ReadModel] = READ_MODELS) -> sa.MetaData:
    """Return the tables of a generation, qualified with its schema."""
    whole = sa.MetaData(schema=schema_name(generation))
    for model in models:
        model.table.to_metadata(whole, schema=schema_name(generation))
    return whole


def create_generation_sql(generation: int, models: Iterable[ReadModel] = READ_MODELS) -> Iterator[str]:
    """Yield the statements that make an empty generation: the role that runs them owns it, the query side reads it."""
    yield from create_tables_sql(generation, models)
    yield from create_indexes_sql(generation, models)


def create_tables_sql(generation: int, models: Iterable[ReadModel] = READ_MODELS) -> Iterator[str]:
    """Yield the statements for the schema and its tables, with primary keys only."""
    schema = schema_name(generation)
    yield f"CREATE SCHEMA {schema}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {Role.QUERY}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {Role.QUERY}"
    for table in metadata(generation, models).sorted_tables:
        yield _compiled(CreateTable(table))
        if table.comment:
            yield _compiled(SetTableComment(table))


def create_indexes_sql(generation: int, models: Iterable[ReadModel] = READ_MODELS) -> Iterator[str]:
    """Yield the statements for the indexes that are no keys: they cost least once the rows are there."""
    for table in metadata(generation, models).sorted_tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield _compiled(CreateIndex(index))


def _compiled(statement: sa.schema.ExecutableDDLElement) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


async def create(connection: Connection, generation: int, models: Iterable[ReadModel] = READ_MODELS) -> None:
    """Make the tables of a generation and register it as building, at the start of the log."""
    async with connection.transaction():
        for statement in create_tables_sql(generation, models):
            await connection.execute(statement)
        await connection.execute(REGISTER, generation, version(models))
        await connection.execute(FIRST_PROGRESS, generation, await partition_count(connection))


async def hand_over(connection: Connection, generation: int) -> None:
    """Have the projectors of this version keep a generation up to date from now on."""
    await connection.execute(sql("projector.sql", "take_over_offsets"), generation)
    await connection.execute("UPDATE generations SET state = 'standby' WHERE generation = $1", generation)
    await connection.execute(f"NOTIFY {GENERATIONS_CHANNEL}")


async def switch(connection: Connection, generation: int) -> int:
    """Serve reads from a standby generation, in one short transaction; return the one that steps back.

    Nobody sees less than before: the projection of the live generation is held up until this one has reached it. Raises
    NotOnStandby, or Behind where that takes longer than LOCK_SECONDS; then nothing has changed.
    """
    async with connection.transaction():
        # Not fetchval, which asks for, and so locks, the first row only.
        live = (await connection.fetch(sql("projector.sql", "lock_live_progress")))[0]["generation"]
        await _wait_until_level(connection, live, generation)
        before = await connection.fetchval(sql("projector.sql", "demote_live"))
        if await connection.execute(PROMOTE, generation) != "UPDATE 1":
            raise NotOnStandby(f"Generation {generation} is not on standby.")
        await connection.execute(f"NOTIFY {GENERATIONS_CHANNEL}")
        await connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")
    return int(before)


async def _wait_until_level(connection: Connection, live: int, generation: int) -> None:
    try:
        async with asyncio.timeout(LOCK_SECONDS):
            while await _is_behind(connection, live, generation):  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise Behind(
            f"Generation {generation} is behind the live one and does not catch up: "
            "a projector of its version has to be running."
        ) from None


async def _is_behind(connection: Connection, live: int, generation: int) -> bool:
    found = await checkpoints(connection, live, generation)
    reached = {at.partition: at.position for at in found if at.generation == generation}
    # A partition without news is not behind, wherever its checkpoint is.
    return any(
        min(at.position, at.last) > reached.get(at.partition, at.position) for at in found if at.generation == live
    )


async def drop(connection: Connection, generation: int) -> None:
    """Remove a generation that is not live, with its quarantined records. Reads under way are let finish."""
    while True:
        try:
            await _drop(connection, generation)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def _drop(connection: Connection, generation: int) -> None:
    async with connection.transaction():
        # A session that waits for a table's lock makes all wait that come after it.
        await connection.execute("SET LOCAL lock_timeout = '200ms'")
        await connection.execute(UNREGISTER, generation)
        await connection.execute("DELETE FROM quarantine WHERE generation = $1", generation)
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema_name(generation)} CASCADE")
        await connection.execute(f"NOTIFY {GENERATIONS_CHANNEL}")
