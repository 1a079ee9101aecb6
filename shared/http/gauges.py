"""Brings the gauges of the log, the read models and the relay up to date."""

from typing import Final

from shared.event_store.log import checkpoints, head_position
from shared.read_models.generations import PARTITION_TROUBLES, served_generation, visible_position
from shared.runtime.database import ReadPool
from shared.runtime.metrics import (
    DRIFT,
    LOG_POSITION,
    PARTITION_LAG,
    PARTITION_TROUBLE,
    PUBLISHED_POSITION,
    READ_POSITION,
    RELAY_TROUBLE,
    VERIFIED_POSITION,
)

VERIFIED: Final = "SELECT drift, verified_position FROM generations WHERE state = 'live' AND drift IS NOT NULL"
PUBLISHED: Final = "SELECT position, trouble FROM write_model.relay_lease"


async def refresh_positions(pool: ReadPool) -> None:
    """Set the positions, of which the difference is the lag, what holds it up, and what `laurels verify` found last.

    Raises a database error.
    """
    async with pool.acquire() as connection:
        READ_POSITION.set(await visible_position(connection))
        LOG_POSITION.set(await head_position(connection))
        if found := await connection.fetchrow(VERIFIED):
            DRIFT.set(found["drift"])
            VERIFIED_POSITION.set(found["verified_position"])
        served = await served_generation(connection)
        for checkpoint in await checkpoints(connection, served):
            PARTITION_LAG.labels(checkpoint.partition).set(checkpoint.lag)
        troubles = await connection.fetch(PARTITION_TROUBLES, served)
    PARTITION_TROUBLE.clear()
    for row in troubles:
        PARTITION_TROUBLE.labels(row["partition"], row["cause"]).set(1)


async def refresh_published(pool: ReadPool) -> None:
    """Set how far the relay has published the log, and what holds it up. Raises a database error."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(PUBLISHED)
    RELAY_TROUBLE.clear()
    if row is not None:
        PUBLISHED_POSITION.set(row["position"])
        if row["trouble"]:
            RELAY_TROUBLE.labels(row["trouble"]).set(1)
