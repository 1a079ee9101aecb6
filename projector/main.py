"""Composition root of the projector."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from projector import admin
from projector.admin import administration
from projector.following import Following
from shared.runtime import checks
from shared.runtime.background import background
from shared.runtime.database import Role, open_pool
from shared.runtime.http import create_app
from shared.runtime.operations import Check, operations
from shared.runtime.protection import Protection
from shared.runtime.settings import Settings, Transport


@contextlib.asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[Check]:
    """Project for as long as the context lasts; yield the check that it goes on."""
    following = Following(settings)
    async with background(following.run()) as task:
        yield checks.running(task, lambda: following.trouble)


def app(settings: Settings) -> FastAPI:
    """Return the projector as a service: it projects, and serves nothing but its operations and the operator's side."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_pool(settings.database_url, Role.PROJECTOR, size=2) as pool,
            projecting(settings) as going_on,
            administration(settings, pool) as app.state.administration,
        ):
            ready["database"] = checks.database(pool)
            ready["projector"] = going_on
            if settings.transport is Transport.KAFKA:
                ready["kafka"] = checks.kafka(settings)
            yield

    protection = Protection(settings)
    return create_app(
        [*operations(ready).routes, *admin.router(protection).routes], lifespan=lifespan, protection=protection
    )
