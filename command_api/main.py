"""Composition root of the command side."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI

from command_api import group_commit, idempotency
from command_api.routes import ROUTES
from command_api.routes.answering import Service
from shared.http import checks
from shared.http.app import create_app
from shared.http.gauges import refresh_positions
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.read_models.visibility import VisibilityWatermark, following
from shared.runtime.background import background
from shared.runtime.database import FAILURES, Pool, Role, open_pool
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

POOL_SIZE = 4
FORGET_SECONDS = 60.0


@contextlib.asynccontextmanager
async def commands(
    settings: Settings, watermark: VisibilityWatermark
) -> AsyncIterator[tuple[Service, dict[str, Check]]]:
    """Run what the command routes work with; yield it with the checks that say whether it is ready."""
    async with (
        open_pool(settings.database_url, Role.COMMAND, size=POOL_SIZE) as pool,
        group_commit.running(settings.database_url) as (writer, writing),
        following(settings.database_url, Role.COMMAND, pool, watermark) as (visibility, watching),
        background(_forget_answers(pool, settings.idempotency_hours)),
    ):
        context = {"languages": settings.language_set}
        yield (
            Service(writer, visibility, pool, context),
            {
                "database": checks.database(pool),
                "log": checks.writable(pool),
                "appender": checks.running(writing, lambda: writer.trouble),
                "visibility": checks.running(watching),
            },
        )


def app(settings: Settings) -> FastAPI:
    """Return the command API as a service of its own."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with commands(settings, VisibilityWatermark()) as (service, found):
            app.state.commands = service
            ready.update(found)
            yield

    async def refresh() -> None:
        await refresh_positions(service.state.commands.pool)

    routes = [*ROUTES, *operations(ready, refresh).routes]
    service = create_app(routes, lifespan=lifespan, protection=Protection(settings))
    return service


async def _forget_answers(pool: Pool, hours: int) -> None:
    while True:
        try:
            async with pool.acquire() as connection:
                gone = await idempotency.forget(connection, hours)
        except FAILURES as error:
            logger.warning("old idempotency keys were not dropped: %s", error)
            gone = 0
        await asyncio.sleep(0 if gone else FORGET_SECONDS)
