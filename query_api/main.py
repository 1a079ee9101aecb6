"""Composition root of the query side."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from query_api.answering import Service
from query_api.hot import HotReads, hot_answers
from query_api.reading import Reader, open_reading_pool
from query_api.routes import ROUTES
from shared.freshness import Promises, following
from shared.gauges import refresh_positions
from shared.runtime import checks
from shared.runtime.database import Role
from shared.runtime.http import create_app
from shared.runtime.operations import Check, operations
from shared.runtime.protection import Protection
from shared.runtime.settings import Settings

POOL_SIZE = 10


@contextlib.asynccontextmanager
async def queries(
    settings: Settings, promises: Promises, *, alone: bool = False
) -> AsyncIterator[tuple[Service, dict[str, Check]]]:
    """Run what the reads work with; yield it with the checks that say whether it is ready.

    `alone` says that no other process serves this database: whatever a client was promised is in `promises`.
    """
    async with (
        open_reading_pool(settings.database_url, size=POOL_SIZE) as pool,
        following(settings.database_url, Role.QUERY, pool, promises) as (freshness, watching),
        hot_answers(settings.database_url, pool, promises if alone else None) as (hot, keeping),
    ):
        yield (
            Service(Reader(pool, promises, settings.recompute_seconds), freshness, hot),
            {
                "database": checks.database(pool),
                "freshness": checks.running(watching),
                "statistics": checks.running(keeping),
            },
        )


def app(settings: Settings) -> FastAPI:
    """Return the query API as a service of its own."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with queries(settings, Promises()) as (service, found):
            app.state.queries, app.state.languages = service, settings.language_set
            ready.update(found)
            yield

    async def refresh() -> None:
        await refresh_positions(service.state.queries.reader.pool)

    routes = [*ROUTES, *operations(ready, refresh).routes]
    service = create_app(routes, lifespan=lifespan, protection=Protection(settings), inner=HotReads)
    return service
