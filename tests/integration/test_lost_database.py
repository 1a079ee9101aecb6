"""What follows the log, when its database dies just as it is told to end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from projector.feeds.event_store import EventStoreFeed
from shared.runtime.background import background

SECONDS = 30.0
TAKEN_OVER = "SELECT count(*) FROM progress WHERE epoch > 0"
# More than are folded in one call, so that there is a transaction to roll back.
APPEND = """
WITH appended AS (
    INSERT INTO events (position, event_id, partition, type, schema_version, user_id, data, recorded_at)
    SELECT position, gen_random_uuid(), 0, 'achievement-defined', 1, NULL, '{}', now()
    FROM generate_series(1, 2000) AS position
)
UPDATE log_head SET position = 2000, partition_positions[1] = 2000
"""
IN_A_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'laurels_projector' AND wait_event_type = 'Lock' AND query LIKE '%a.epoch%'
"""


async def test_a_projector_ends_though_its_rollback_fails(tmp_path: Path) -> None:
    """A rollback that fails hides the cancellation that led to it; the next one is heard, so that the process ends."""
    postgres = EmbeddedPostgres(tmp_path / "data")
    url = (await postgres.start()).url
    try:
        await asyncio.to_thread(migrate, url)
        async with asyncio.timeout(SECONDS), connected(url) as holder, connected(url) as admin:
            async with background(EventStoreFeed(url, 1).run()) as projector:
                await eventually(admin, TAKEN_OVER)
                await holder.execute("BEGIN; SELECT FROM progress FOR UPDATE")
                await admin.execute(APPEND)
                await eventually(admin, IN_A_TRANSACTION)
                assert postgres.pid is not None
                os.kill(postgres.pid, signal.SIGKILL)
            ended = projector.done()
    finally:
        await postgres.stop()

    assert ended


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    yield connection
    connection.terminate()


async def eventually(connection: "asyncpg.Connection[asyncpg.Record]", count: str) -> None:
    """Poll until a query counts something; the caller's timeout is the deadline."""
    while not await connection.fetchval(count):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.02)
