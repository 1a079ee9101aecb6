"""The undisturbed projection: every read model folded anew from the log, and compared with the one that is served."""

import asyncpg

from projector.batch import LogBatch
from projector.generation import create_generation_sql
from projector.runner import Runner
from shared.event_log import head_position, partition_count
from shared.read_models import live_generation, schema_name
from shared.runtime.database import Connection, Role
from tests.support import oracle

REBUILT = 999
BATCH = 10_000


async def unequal_rows(url: str) -> dict[str, int]:
    """Return, by table, how many rows a rebuild lacks or has beyond those that are served; `url` is the owner's."""
    connection = await asyncpg.connect(url)
    try:
        live = await live_generation(connection)
        await _rebuild(connection, url)
        found = {}
        for table in oracle.COLUMNS:
            served, anew = (f"SELECT t::text FROM {schema_name(number)}.{table} t" for number in (live, REBUILT))  # noqa: S608 - our own names
            differing = f"({served} EXCEPT ALL {anew}) UNION ALL ({anew} EXCEPT ALL {served})"
            found[table] = await connection.fetchval(f"SELECT count(*) FROM ({differing}) AS d")  # noqa: S608 - the same
        return {table: count for table, count in found.items() if count}
    finally:
        await connection.close()


async def _rebuild(connection: Connection, url: str) -> None:
    async with connection.transaction():
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema_name(REBUILT)} CASCADE")
        await connection.execute("DELETE FROM generations WHERE generation = $1", REBUILT)
        await connection.execute(f"SET LOCAL ROLE {Role.PROJECTOR}")
        for statement in create_generation_sql(REBUILT):
            await connection.execute(statement)
        await connection.execute("INSERT INTO generations (generation, state) VALUES ($1, 'building')", REBUILT)
        await connection.execute(
            "INSERT INTO progress (generation, partition) SELECT $1, partition FROM log_head, "
            "generate_series(0, cardinality(partition_positions) - 1) AS partition",
            REBUILT,
        )
    partitions, head = await partition_count(connection), await head_position(connection)
    runner = await Runner.open(url, REBUILT)
    try:
        held, _ = await runner.take_over(range(partitions))
        for after in range(0, head, BATCH):
            events = LogBatch(after, min(after + BATCH, head), held, partitions)
            await runner.project(events)
            held = events.held_afterwards
    finally:
        runner.close()
