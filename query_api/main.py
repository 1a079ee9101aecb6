"""Composition root of the query side."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from query_api.answering import Service
from query_api.hot import HotReads, hot_answers
from query_api.reading import Reader, open_reading_pool
from query_api.routes import ROUTES
from shared.http import checks
from shared.http.app import create_app
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


def app(settings: Settings) -> FastAPI:
    """Return the query API as a service of its own."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with queries(settings, VisibilityWatermark()) as (service, found):
            app.state.queries, app.state.languages = service, settings.language_set
            ready.update(found)
            yield

    async def refresh() -> None:
        await refresh_positions(service.state.queries.reader.pool)

    routes = [*ROUTES, *operations(ready, refresh).routes]
    service = create_app(routes, lifespan=lifespan, protection=Protection(settings), inner=HotReads)
    return service
