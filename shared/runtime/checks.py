"""The checks behind `/ready`."""

import asyncio
from collections.abc import Callable

from shared.runtime.database import Pool
from shared.runtime.kafka import broker_answers
from shared.runtime.operations import Check
from shared.runtime.settings import Settings

HEAD_REVISION = "0003"
"""The migration that this code needs; a test holds it to the newest one in `alembic/versions`."""


def database(pool: Pool) -> Check:
    """Return a check that PostgreSQL answers and is migrated as far as this code needs."""

    async def check() -> str | None:
        async with pool.acquire() as connection:
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        return None if revision and revision >= HEAD_REVISION else f"migration {HEAD_REVISION} is missing"

    return check


def running(task: asyncio.Task[None], trouble: Callable[[], str | None] = lambda: None) -> Check:
    """Return a check that a task has not ended, and is not in a trouble that it names."""

    async def check() -> str | None:
        return "has stopped" if task.done() else trouble()

    return check


def kafka(settings: Settings) -> Check:
    """Return a check that a Kafka broker answers."""

    async def check() -> str | None:
        return None if await broker_answers(settings) else "no broker answers"

    return check
