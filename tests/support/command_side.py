"""The command side alone, in this process, over a database of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from command_api.main import app
from shared.runtime.database import OwnConnection, connect
from shared.runtime.http import PREFIX
from shared.runtime.settings import Settings
from tests.support.projected_log import HASTY

SECONDS = 60.0
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'laurels_command' AND wait_event_type = 'Lock'"


@asynccontextmanager
async def command_side(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Serve it; yield a client, and the URL of the database."""
    postgres = EmbeddedPostgres(folder, settings=HASTY)
    url = (await postgres.start()).url
    try:
        await asyncio.to_thread(migrate, url)
        service = app(Settings(_env_file=None, database_url=url))
        address, headers = f"http://laurels{PREFIX}", {"Prefer": "respond-async"}
        async with (
            asyncio.timeout(SECONDS),
            service.router.lifespan_context(service),
            httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url=address, headers=headers) as client,
        ):
            yield client, url
    finally:
        await postgres.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[OwnConnection]:
    """Connect as the database's owner."""
    connection = await connect(url)
    yield connection
    connection.terminate()


@asynccontextmanager
async def held_head(url: str) -> AsyncIterator[None]:
    """Keep every group from being committed until the block ends, or the lock timeout of the command side."""
    async with connected(url) as holder, holder.transaction():
        await holder.execute("SELECT FROM log_head FOR UPDATE")
        yield


async def until_it_waits(admin: OwnConnection) -> None:
    """Wait until the command side waits for the head."""
    while not await admin.fetchval(WAITS):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.02)
