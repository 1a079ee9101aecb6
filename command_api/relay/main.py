"""Composition root of the relay."""

import contextlib
from collections.abc import AsyncIterator

from command_api.relay.lease import Watch
from command_api.relay.publishing import Relay
from shared.http import checks
from shared.http.app import Application, Serving, create_app
from shared.http.gauges import refresh_positions, refresh_published
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.runtime.background import background, keep_running
from shared.runtime.backoff import Backoff
from shared.runtime.database import Pool, Role, open_pool
from shared.runtime.settings import Settings
from shared.runtime.stalls import keep_looking


@contextlib.asynccontextmanager
async def relaying(settings: Settings) -> AsyncIterator[tuple[Pool, dict[str, Check]]]:
    """Publish for as long as the context lasts; yield the relay's pool, and the checks that say whether it goes on."""
    relay, watch = Relay(settings), Watch()
    async with (
        open_pool(settings.database_url, Role.RELAY, size=1) as pool,
        background(keep_looking(pool, watch.look)) as watching,
        background(keep_running(relay.run, Backoff().sleep)) as publishing,
    ):
        yield (
            pool,
            {
                "relay": checks.running(publishing, lambda: relay.trouble),
                "publishing": checks.running(watching, lambda: watch.trouble),
                "kafka": checks.kafka(settings),
            },
        )


def app(settings: Settings) -> Application:
    """Return the relay as a service: it publishes, and serves nothing but its operations."""

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with relaying(settings) as (pool, ready):

            async def refresh() -> None:
                await refresh_positions(pool)
                await refresh_published(pool)

            yield Serving(operations({**ready, "database": checks.database(pool)}, refresh).routes)

    return create_app(start, Protection(settings))
