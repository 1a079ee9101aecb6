"""Connections to PostgreSQL: roles, pools and notifications."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from shared.runtime.backoff import Backoff, retry_forever

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    OwnConnection = asyncpg.Connection[asyncpg.Record]
    Connection = OwnConnection | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Record = asyncpg.Record
else:
    OwnConnection = Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Record = asyncpg.Record

logger = logging.getLogger(__name__)


class ReadSession(Protocol):
    """A session that asks. What appends, folds or switches takes a `Connection`, which no `ReadPool` hands out."""

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list["Record"]:  # noqa: ANN401, ASYNC109 - as asyncpg has it
        """Return the rows. Raises a database error."""

    async def fetchrow(self, query: str, *args: Any) -> "Record | None":  # noqa: ANN401 - the same
        """Return the first row. Raises a database error."""

    async def fetchval(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ANN401, ASYNC109 - the same
        """Return the first column of the first row. Raises a database error."""


class ReadPool(Protocol):
    """A pool of sessions that ask."""

    def acquire(self, *, timeout: float | None = None) -> "AbstractAsyncContextManager[ReadSession]":
        """Lend a session for as long as the context lasts."""

    def get_size(self) -> int:
        """Return how many connections are open."""


CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 30.0

UNREACHABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What a statement finds that is sent as its connection is being lost.
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""Failures that pass by themselves or by an operator's hand: worth another try, and a 503 to a client."""


FAILURES: tuple[type[Exception], ...] = (*UNREACHABLE, asyncpg.PostgresError)
"""Everything a statement may fail with; a loop that has to go on for ever retries it with backoff."""


class Role(StrEnum):
    """The database role that a service's sessions run under. Privileges are given to these by the migrations."""

    COMMAND = "laurels_command"
    RELAY = "laurels_relay"
    PROJECTOR = "laurels_projector"
    QUERY = "laurels_query"


KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""Lets the server end the sessions of a host that has vanished, and their locks, within half a minute."""


def session_settings(role: Role | None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a session starts with; `role` is what RESET goes back to, so that a pool cannot lose it."""
    chosen = {"timezone": "UTC", "application_name": role.value if role else "laurels", "jit": "off", **KEEPALIVES}
    if role:
        chosen["role"] = role.value
    return {**chosen, **(settings or {})}


async def connect(
    url: str,
    role: Role | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    command_timeout: float | None = COMMAND_TIMEOUT,
) -> OwnConnection:
    """Open one connection, on which a statement may take so many seconds (None: as long as it takes).

    Raises one of UNREACHABLE when the server does not answer.
    """
    return await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT,
        command_timeout=command_timeout,
        server_settings=session_settings(role, settings),
    )


@contextlib.asynccontextmanager
async def connected(
    url: str,
    role: Role | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    command_timeout: float | None = COMMAND_TIMEOUT,
) -> AsyncIterator[OwnConnection]:
    """Open one connection as `connect` does, for as long as the context lasts."""
    connection = await connect(url, role, settings, command_timeout=command_timeout)
    try:
        yield connection
    finally:
        # Not closed in good order, which would wait for a server that may not answer any more.
        connection.terminate()


@contextlib.asynccontextmanager
async def open_pool(
    url: str,
    role: Role,
    *,
    size: int,
    settings: Mapping[str, str] | None = None,
    connection_class: type[OwnConnection] = asyncpg.Connection,
) -> AsyncIterator[Pool]:
    """Open a pool that connects when it is first used, so that a service starts before its database."""
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings=session_settings(role, settings),
        reset=_keep_session,
        connection_class=connection_class,
    )
    await pool
    try:
        yield pool
    finally:
        with contextlib.suppress(*UNREACHABLE):
            async with asyncio.timeout(3):
                await pool.close()
        pool.terminate()


async def _keep_session(_connection: Any) -> None:  # noqa: ANN401
    """Skip asyncpg's reset: the services set nothing on a session, and the round trip would cost every read."""


async def listen(url: str, role: Role, channel: str, on_notify: Callable[[], None]) -> None:
    """Call `on_notify` for every notification on the channel, reconnecting for ever; runs until cancelled.

    `on_notify` is called after each connect too, since notifications may have been missed before it.
    """
    backoff = Backoff()

    async def listen_once() -> None:
        async with connected(url, role) as connection:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(channel, lambda *_: on_notify())
            backoff.reset()
            on_notify()
            await lost.wait()
            logger.warning("the connection that listens on %s was lost", channel)

    def not_listening(error: Exception) -> None:
        logger.debug("cannot listen on %s: %s", channel, error)

    await retry_forever(listen_once, FAILURES, not_listening, backoff)
