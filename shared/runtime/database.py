"""Connections to PostgreSQL: who may do what, and who hears what."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import asyncpg

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
"""Whatever a statement may end with; a loop that has to go on for ever waits and tries again."""


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
    while True:
        try:
            await _listen_once(url, role, channel, on_notify, backoff)
        except FAILURES as error:
            logger.debug("cannot listen on %s: %s", channel, error)
        await backoff.sleep()


async def _listen_once(url: str, role: Role, channel: str, on_notify: Callable[[], None], backoff: "Backoff") -> None:
    connection = await connect(url, role)
    lost = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _connection: lost.set())
        await connection.add_listener(channel, lambda *_: on_notify())
        backoff.reset()
        on_notify()
        await lost.wait()
        logger.warning("the connection that listens on %s was lost", channel)
    finally:
        connection.terminate()


class Backoff:
    """Waits that double from `first` to `most` seconds, each with jitter, so that many clients do not come at once."""

    def __init__(self, *, first: float = 0.05, most: float = 2.0) -> None:
        self._first, self._most = first, most
        self._next = first

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self._next = self._first

    async def sleep(self) -> None:
        """Wait, and make the next wait longer."""
        await asyncio.sleep(self._next * random.uniform(0.5, 1.0))  # noqa: S311 - jitter needs no secrecy
        self._next = min(self._next * 2, self._most)
