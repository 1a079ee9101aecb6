"""Composition root of the projector."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from projector import admin
from projector.admin import administration
from projector.following import Following
from projector.watch import Watch
from shared.http import checks
from shared.http.app import create_app
from shared.http.gauges import refresh_positions
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.runtime.background import background
from shared.runtime.database import Role, open_pool
from shared.runtime.settings import Settings, Transport
from shared.runtime.stalls import keep_looking


@contextlib.asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[tuple[dict[str, Check], dict[str, Check]]]:
    """Project for as long as the context lasts; yield the checks that it goes on, and those that only warn."""
    following = Following(settings)
    watch = Watch(settings, following)
    async with (
        open_pool(settings.database_url, Role.PROJECTOR, size=1) as pool,
        background(following.run()) as task,
        background(keep_looking(pool, watch.look)) as looking,
    ):
        yield (
            {
                "projector": checks.running(task, lambda: following.trouble),
                "projection": checks.running(looking, lambda: watch.trouble),
            },
            {"transport": checks.running(looking, lambda: watch.warning)},
        )


def app(settings: Settings) -> FastAPI:
    """Return the projector as a service: it projects, and serves nothing but its operations and the operator's side."""
    ready: dict[str, Check] = {}
    warnings: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_pool(settings.database_url, Role.PROJECTOR, size=2) as app.state.pool,
            projecting(settings) as (going_on, warning),
            administration(settings, app.state.pool) as app.state.administration,
        ):
            ready.update(going_on, database=checks.database(app.state.pool))
            warnings.update(warning)
            if settings.transport is Transport.KAFKA:
                ready["kafka"] = checks.kafka(settings)
            yield

    async def refresh() -> None:
        await refresh_positions(service.state.pool)

    protection = Protection(settings)
    service = create_app(
        [*operations(ready, refresh, warnings).routes, *admin.router(protection).routes],
        lifespan=lifespan,
        protection=protection,
    )
    return service
