"""Composition root of the query side."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from query_api.answering import Service
from query_api.hot import HotReads, whereabouts
from query_api.reading import SESSION, Reader
from query_api.routes import ROUTES
from shared.freshness import following
from shared.gauges import refresh_positions
from shared.runtime import checks
from shared.runtime.database import Role, open_pool
from shared.runtime.http import create_app
from shared.runtime.operations import Check, operations
from shared.runtime.protection import Protection
from shared.runtime.settings import Settings

POOL_SIZE = 10


@contextlib.asynccontextmanager
async def queries(settings: Settings) -> AsyncIterator[tuple[Service, dict[str, Check]]]:
    """Run what the reads work with; yield it with the checks that say whether it is ready."""
    async with (
        open_pool(settings.database_url, Role.QUERY, size=POOL_SIZE, settings=SESSION) as pool,
        following(settings.database_url, Role.QUERY, pool) as (freshness, watching),
        whereabouts(settings.database_url) as (found, answering),
    ):
        yield (
            Service(Reader(pool, settings.recompute_seconds), freshness, found),
            {
                "database": checks.database(pool),
                "freshness": checks.running(watching),
                "whereabouts": checks.running(answering),
            },
        )


def app(settings: Settings) -> FastAPI:
    """Return the query API as a service of its own."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with queries(settings) as (service, found):
            app.state.queries, app.state.languages = service, settings.language_set
            ready.update(found)
            yield

    async def refresh() -> None:
        await refresh_positions(service.state.queries.reader.pool)

    routes = [*ROUTES, *operations(ready, refresh).routes]
    service = create_app(routes, lifespan=lifespan, protection=Protection(settings), inner=HotReads)
    return service
