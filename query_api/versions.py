"""Which version the read models have: the key of the response cache."""

import asyncio
import logging
from typing import Final, NamedTuple

import asyncpg

from query_api.queries import version
from shared.runtime.backoff import Backoff, retry_forever
from shared.runtime.database import FAILURES, ReadSession, Role, connected

logger = logging.getLogger(__name__)

ASK_SECONDS: Final = 2.0


class ReadModelVersion(NamedTuple):
    """The generation that is served, how far its partitions are, its Read-Position, and how much is quarantined.

    While the version is the same, the rows are.
    """

    generation: int
    progress: int
    position: int
    quarantined: int


async def current_version(connection: ReadSession) -> ReadModelVersion:
    """Return the version in the connection's snapshot. Raises a database error."""
    row = await connection.fetchrow(version())
    if row is None:
        raise asyncpg.InterfaceError("there is no generation that could be served")
    return ReadModelVersion(*row)


class VersionPoller:
    """Asks for the version, once for all who wait. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connected = False
        self._asked: list[asyncio.Future[ReadModelVersion]] = []
        self._waiting: list[asyncio.Future[ReadModelVersion]] = []
        self._wake = asyncio.Event()
        self._backoff = Backoff()

    async def current(self) -> ReadModelVersion:
        """Return the version, asked for after this call. Raises ConnectionError while that cannot be asked."""
        if not self.connected:
            raise ConnectionError("there is no connection to ask on")
        future: asyncio.Future[ReadModelVersion] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        return await future

    async def run(self) -> None:
        """Ask for ever, over a new connection after every failure."""
        await retry_forever(self._poll, FAILURES, self._on_failure, self._backoff)

    def _on_failure(self, error: Exception) -> None:
        logger.debug("the version of the read models is not known: %s", error)

    async def _poll(self) -> None:
        async with connected(self._url, Role.QUERY, command_timeout=ASK_SECONDS) as connection:
            self.connected = True
            try:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    self._asked, self._waiting = self._waiting, []
                    found = await current_version(connection)
                    self._backoff.reset()
                    for future in self._asked:
                        if not future.done():
                            future.set_result(found)
            finally:
                self.connected = False
                self._fail()

    def _fail(self) -> None:
        for future in (*self._asked, *self._waiting):
            if not future.done():
                future.set_exception(ConnectionError("the connection to ask on was lost"))
        self._asked, self._waiting = [], []
