"""Composition root of the query side."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from query_api.answering import Service
from query_api.hot import HotReads, hot_answers
from query_api.reading import Reader, open_reading_pool
from query_api.routes import ROUTES
from shared.http import checks
from shared.http.app import Application, Serving, create_app
from shared.http.gauges import refresh_positions
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.read_models.visibility import VisibilityWatermark, following
from shared.runtime.database import Role
from shared.runtime.settings import Settings

POOL_SIZE = 10


@contextlib.asynccontextmanager
async def queries(
    settings: Settings, watermark: VisibilityWatermark, *, alone: bool = False
) -> AsyncIterator[tuple[Service, dict[str, Check]]]:
    """Run what the reads work with; yield it with the checks that say whether it is ready.

    `alone` says that no other process serves this database: whatever a client was promised is in `watermark`.
    """
    async with (
        open_reading_pool(settings.database_url, size=POOL_SIZE) as pool,
        following(settings.database_url, Role.QUERY, pool, watermark) as (visibility, watching),
        hot_answers(settings.database_url, pool, watermark if alone else None) as (hot, keeping),
    ):
        yield (
            Service(Reader(pool, watermark, settings.recompute_seconds), visibility, hot),
            {
                "database": checks.database(pool),
                "visibility": checks.running(watching),
                "statistics": checks.running(keeping),
            },
        )


def app(settings: Settings) -> Application:
    """Return the query API as a service of its own."""

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with queries(settings, VisibilityWatermark()) as (reads, ready):
            refresh = partial(refresh_positions, reads.pool)
            yield Serving([*reads.routes, *operations(ready, refresh).routes], reads.middleware)

    return create_app(start, Protection(settings))
