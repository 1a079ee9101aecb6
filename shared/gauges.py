"""Brings the gauges of the log and the read models up to date."""

from shared.event_log import head_position
from shared.read_models import visible_position
from shared.runtime.database import Pool
from shared.runtime.metrics import DRIFT, LOG_POSITION, READ_POSITION, VERIFIED_POSITION

VERIFIED = "SELECT drift, verified_position FROM generations WHERE state = 'live' AND drift IS NOT NULL"


async def refresh_positions(pool: Pool) -> None:
    """Set the two positions, of which the difference is the lag, and what `laurels verify` found last.

    Raises a database error.
    """
    async with pool.acquire() as connection:
        READ_POSITION.set(await visible_position(connection))
        LOG_POSITION.set(await head_position(connection))
        if found := await connection.fetchrow(VERIFIED):
            DRIFT.set(found["drift"])
            VERIFIED_POSITION.set(found["verified_position"])
