"""Waits until the read models have reached a position of the log."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.generations import visible_position
from shared.runtime.background import background, wait_for
from shared.runtime.database import FAILURES, ReadPool, Role, listen

logger = logging.getLogger(__name__)

LEAST_SECONDS = 0.25
"""What even a wait of 0 takes at the most: the database has to be asked once."""
POLL_SECONDS = 0.25
"""How often a waiter looks by itself; notifications only make it quicker."""


class VisibilityWatermark:
    """What this process has told anybody is visible: every event up to `position`."""

    def __init__(self) -> None:
        self.position = 0

    def raise_to(self, position: int) -> None:
        """Note that somebody is told so."""
        self.position = max(self.position, position)


class Visibility:
    """Knows how far the live read models are, as soon as somebody waits for it. Run `run()` as a task."""

    def __init__(self, url: str, role: Role, pool: ReadPool, watermark: VisibilityWatermark) -> None:
        self._url, self._role, self._pool, self._watermark = url, role, pool, watermark
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._poke = asyncio.Event()

    async def reached(self, position: int, seconds: float) -> bool:
        """Wait up to so many seconds; return whether every event up to `position` is in the live read models.

        The database is asked each time, once for all who wait: after a crash it may be behind what it said before.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.add((position, future))
        self._poke.set()
        try:
            async with asyncio.timeout(max(seconds, LEAST_SECONDS)):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard((position, future))
        self._watermark.raise_to(position)
        return True

    async def run(self) -> None:
        """Follow the projectors until cancelled."""
        async with background(listen(self._url, self._role, PROJECTED_CHANNEL, self._poke.set)):
            await self._follow()

    async def _follow(self) -> None:
        while True:
            await wait_for(self._poke, POLL_SECONDS if self._waiting else None)
            self._poke.clear()
            if not self._waiting:
                continue
            try:
                async with self._pool.acquire() as connection:
                    self._answer(await visible_position(connection))
            except FAILURES as error:
                logger.debug("the read position is not known: %s", error)
                await asyncio.sleep(POLL_SECONDS)

    def _answer(self, position: int) -> None:
        for wanted, future in list(self._waiting):
            if wanted <= position and not future.done():
                future.set_result(None)


@contextlib.asynccontextmanager
async def following(
    url: str, role: Role, pool: ReadPool, watermark: VisibilityWatermark
) -> AsyncIterator[tuple[Visibility, asyncio.Task[None]]]:
    """Run a Visibility for as long as the context lasts; yield it with its task."""
    visibility = Visibility(url, role, pool, watermark)
    async with background(visibility.run()) as task:
        yield visibility, task
