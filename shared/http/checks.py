"""The checks behind `/ready`."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import asyncpg

from shared.event_store.appending import probe
from shared.http.operations import Check
from shared.runtime import layout
from shared.runtime.database import Pool, ReadPool
from shared.runtime.kafka import broker_answers
from shared.runtime.settings import Settings

POOL_SECONDS: Final = 0.4
STATEMENT_SECONDS: Final = 0.6
"""Together, with what returning a connection may take, less than `/ready` waits."""
WRITE_SECONDS: Final = 3.0
"""How long a write that succeeded is taken for the next one."""

CANNOT_WRITE: Final[Mapping[type[Exception], str]] = {
    asyncpg.DiskFullError: "its disk is full",
    asyncpg.ReadOnlySQLTransactionError: "is read-only",
    asyncpg.LockNotAvailableError: "the head of the log is locked",
}


def database(pool: ReadPool) -> Check:
    """Return a check that PostgreSQL answers and is migrated as far as this code needs."""

    async def check() -> str | None:
        # The timeout of the acquisition bounds the return too: asyncpg waits for a server to confirm a cancellation.
        async with pool.acquire(timeout=POOL_SECONDS) as connection:
            return layout.missing(await connection.fetchval(layout.REVISION, timeout=STATEMENT_SECONDS))

    return check


def writable(pool: Pool) -> Check:
    """Return a check that what an append needs can be done: take the log's head, let a file grow, and commit.

    It is done at most every few seconds; in between, what was found last is the answer if it was good.
    """
    good_until = 0.0

    async def check() -> str | None:
        nonlocal good_until
        if time.monotonic() < good_until:
            return None
        try:
            async with pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
                await probe(connection, STATEMENT_SECONDS)
        except tuple(CANNOT_WRITE) as error:
            return CANNOT_WRITE[type(error)]
        good_until = time.monotonic() + WRITE_SECONDS
        return None

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
