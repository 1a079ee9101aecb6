"""Composition root of the command side."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from command_api import group_commit, idempotency
from command_api.routes import ROUTES
from command_api.routes.answering import Service
from shared.http import checks
from shared.http.app import Application, Serving, create_app
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


def app(settings: Settings) -> Application:
    """Return the command API as a service of its own."""

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with commands(settings, VisibilityWatermark()) as (service, ready):
            refresh = partial(refresh_positions, service.pool)
            yield Serving([*ROUTES.bound_to(service), *operations(ready, refresh).routes])

    return create_app(start, Protection(settings))


async def _forget_answers(pool: Pool, hours: int) -> None:
    while True:
        try:
            async with pool.acquire() as connection:
                gone = await idempotency.forget(connection, hours)
        except FAILURES as error:
            logger.warning("old idempotency keys were not dropped: %s", error)
            gone = 0
        await asyncio.sleep(0 if gone else FORGET_SECONDS)
