"""The undisturbed projection: every read model built anew from the log, and compared with the one that is served."""

import asyncpg

from projector.generations import lifecycle as generation
from projector.generations.loading import load_from_log
from shared.event_store.log import head_position
from shared.read_models.generations import schema_name, served_generation
from shared.runtime.database import Role, connect
from tests.support import oracle

REBUILT = 999


async def unequal_rows(url: str) -> dict[str, int]:
    """Return, by table, how many rows a rebuild lacks or has beyond those that are served; `url` is the owner's."""
    connection = await asyncpg.connect(url)
    projector = await connect(url, Role.PROJECTOR)
    try:
        await generation.create(projector, REBUILT)
        await load_from_log(url, REBUILT, await head_position(connection))
        served_number = await served_generation(connection)
        found = {}
        for table in oracle.COLUMNS:
            served, anew = (f"SELECT t::text FROM {schema_name(n)}.{table} t" for n in (served_number, REBUILT))  # noqa: S608 - our own names
            differing = f"({served} EXCEPT ALL {anew}) UNION ALL ({anew} EXCEPT ALL {served})"
            found[table] = await connection.fetchval(f"SELECT count(*) FROM ({differing}) AS d")  # noqa: S608 - the same
        return {table: count for table, count in found.items() if count}
    finally:
        await generation.drop(projector, REBUILT)
        await projector.close()
        await connection.close()
