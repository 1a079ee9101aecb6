"""The command side alone, in this process, over a database of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from starlette.types import ASGIApp

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from command_api.main import app
from command_api.routes.answering import Service
from shared.http.app import Application
from shared.http.routing import PREFIX, Route
from shared.runtime.database import OwnConnection, connect
from shared.runtime.settings import Settings
from tests.support.projected_log import HASTY

SECONDS = 60.0
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'laurels_command' AND wait_event_type = 'Lock'"


def service_of(app: object) -> Service:
    """Return what the routes of a started command API work with."""
    assert isinstance(app, Application)
    found = next(route.endpoint for route in app.router.routes if isinstance(route, Route)).__self__  # type: ignore[attr-defined]  # a bound function
    assert isinstance(found, Service)
    return found


@asynccontextmanager
async def command_side(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Serve it; yield a client, and the URL of the database."""
    postgres = EmbeddedPostgres(folder, settings=HASTY)
    url = (await postgres.start()).url
    try:
        await asyncio.to_thread(migrate, url)
        service = app(Settings(_env_file=None, database_url=url))
        async with (
            asyncio.timeout(SECONDS),
            service.router.lifespan_context(service),
            client_at("127.0.0.1", service) as client,
        ):
            yield client, url
    finally:
        await postgres.stop()


def client_at(address: str, service: ASGIApp) -> httpx.AsyncClient:
    """Return a client that seems to come from this address."""
    transport = httpx.ASGITransport(service, client=(address, 50_000))
    return httpx.AsyncClient(
        transport=transport, base_url=f"http://localhost{PREFIX}", headers={"Prefer": "respond-async"}
    )


def beside(client: httpx.AsyncClient, address: str) -> httpx.AsyncClient:
    """Return a client of the same service, at another address."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return client_at(address, transport.app)


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
