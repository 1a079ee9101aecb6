"""Composition root of the projector."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from projector import admin
from projector.admin import OperatorsOnly, administration
from projector.following import Following
from projector.watch import Watch
from shared.http import checks
from shared.http.app import Application, Serving, create_app
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


def app(settings: Settings) -> Application:
    """Return the projector as a service: it projects, and serves nothing but its operations and the operator's side."""
    protection = Protection(settings)

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with (
            open_pool(settings.database_url, Role.PROJECTOR, size=2) as pool,
            projecting(settings) as (ready, warnings),
            administration(settings, pool) as made,
        ):
            ready["database"] = checks.database(pool)
            if settings.transport is Transport.KAFKA:
                ready["kafka"] = checks.kafka(settings)
            operators = admin.ROUTES.bound_to(OperatorsOnly(made, protection))
            yield Serving([*operations(ready, partial(refresh_positions, pool), warnings).routes, *operators])

    return create_app(start, protection)
