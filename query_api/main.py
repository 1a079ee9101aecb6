"""Composition root of the query side."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from query_api.answering import Queries
from query_api.reader import PoolReader
from query_api.response_cache import response_cache
from query_api.routes import CACHED, ROUTES
from query_api.sessions import open_reading_pool
from shared.http import checks
from shared.http.app import Application, Middleware, Serving, create_app
from shared.http.gauges import refresh_positions
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.http.routing import Route
from shared.read_models.visibility import VisibilityWatermark, following
from shared.runtime.database import ReadPool, Role
from shared.runtime.settings import Settings

POOL_SIZE = 10


@dataclass(frozen=True, slots=True)
class Reads:
    """The reads as an application serves them; `pool` is theirs."""

    routes: list[Route]
    middleware: Middleware
    pool: ReadPool


@contextlib.asynccontextmanager
async def reading(
    settings: Settings, watermark: VisibilityWatermark, *, alone: bool = False
) -> AsyncIterator[tuple[Reads, dict[str, Check]]]:
    """Run what the reads work with; yield them with the checks that say whether it is ready.

    `alone` says that no other process serves this database: what any client was told is in `watermark`.
    """
    async with (
        open_reading_pool(settings.database_url, size=POOL_SIZE) as pool,
        following(settings.database_url, Role.QUERY, pool, watermark) as (visibility, watching),
    ):
        reader = PoolReader(pool, watermark, settings.recompute_seconds)
        queries = Queries(reader, visibility, pool, settings.language_set)
        only = watermark if alone else None
        async with response_cache(settings.database_url, pool, queries, CACHED, only) as (cache, caching):
            yield (
                Reads(list(ROUTES.bound_to(queries)), cache.middleware, pool),
                {
                    "database": checks.database(pool),
                    "visibility": checks.running(watching),
                    "statistics": checks.running(caching),
                },
            )


def app(settings: Settings) -> Application:
    """Return the query API as a service of its own."""

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with reading(settings, VisibilityWatermark()) as (reads, ready):
            refresh = partial(refresh_positions, reads.pool)
            yield Serving([*reads.routes, *operations(ready, refresh).routes], reads.middleware)

    return create_app(start, Protection(settings))
