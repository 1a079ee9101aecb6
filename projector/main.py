"""Composition root of the projector."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from projector.feeds.kafka import KafkaFeed
from projector.feeds.postgres import PostgresFeed
from shared.runtime import checks
from shared.runtime.background import background
from shared.runtime.database import Role, open_pool
from shared.runtime.http import create_app
from shared.runtime.operations import Check, operations
from shared.runtime.protection import Protection
from shared.runtime.settings import Settings, Transport


@contextlib.asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[Check]:
    """Run the feed that the settings name for as long as the context lasts; yield the check that it goes on."""
    feed = KafkaFeed(settings) if settings.transport is Transport.KAFKA else PostgresFeed(settings.database_url)
    async with background(feed.run()) as task:
        yield checks.running(task, lambda: feed.trouble)


def app(settings: Settings) -> FastAPI:
    """Return the projector as a service: it projects, and serves nothing but its operations."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with open_pool(settings.database_url, Role.PROJECTOR, size=1) as pool, projecting(settings) as going_on:
            ready["database"] = checks.database(pool)
            ready["projector"] = going_on
            if settings.transport is Transport.KAFKA:
                ready["kafka"] = checks.kafka(settings)
            yield

    return create_app([operations(ready)], lifespan=lifespan, protection=Protection(settings))
