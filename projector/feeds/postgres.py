"""The embedded default: the log itself feeds the projections, and no event leaves the database."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from projector.batch import LogBatch, MissingEvents, UnknownEvents
from projector.runner import Runner, TakenOver
from shared.event_store.log import APPENDED_CHANNEL, head_position
from shared.runtime.background import background, wait_for
from shared.runtime.database import FAILURES, Backoff, OwnConnection, Role, connect, listen

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
"""Positions in one transaction at the most: enough for the full rate, and a fraction of a second of work."""
POLL_SECONDS: Final = 1.0
"""How often the log is looked at without a notification."""

# One projector works, others stand by. The lock only saves them the trouble; what fences is the epoch in `progress`.
STAND_BY: Final = "SELECT pg_advisory_lock(hashtext('laurels projector ' || $1::int))"


class PostgresFeed:
    """Follows the log for one generation. Run `run()` as a task; it ends when cancelled.

    `trouble` says why it cannot go on, None while it can.
    """

    def __init__(self, url: str, generation: int) -> None:
        self._url, self._generation = url, generation
        self._poke = asyncio.Event()
        self.trouble: str | None = None
        self.from_log: Mapping[int, str] = {}

    async def run(self) -> None:
        """Project for ever, starting anew after every failure."""
        async with background(listen(self._url, Role.PROJECTOR, APPENDED_CHANNEL, self._poke.set)):
            await self._keep_following()

    async def _keep_following(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._follow(backoff)
            except TakenOver:
                logger.info("another projector took over, or generation %d is gone; standing by", self._generation)
            except (MissingEvents, UnknownEvents) as error:
                logger.error("the projection cannot go on: %s", error)  # noqa: TRY400 - an operator's matter, not a bug's
                self.trouble = str(error)
            except FAILURES as error:
                logger.warning("the projector starts anew: %s: %s", type(error).__name__, error)
            await backoff.sleep()

    async def _follow(self, backoff: Backoff) -> None:
        # Whoever stands by may do so for ever.
        reader = await connect(self._url, Role.PROJECTOR, command_timeout=None)
        try:
            await reader.execute(STAND_BY, self._generation)
            runner = await Runner.open(self._url, self._generation)
            try:
                await self._project_all(reader, runner, backoff)
            finally:
                runner.close()
        finally:
            reader.terminate()

    async def _project_all(self, reader: OwnConnection, runner: Runner, backoff: Backoff) -> None:
        held, _ = await runner.take_over()
        if not held:
            # The generation has been dropped.
            raise TakenOver
        # Kafka may have fed this database before, and then partitions are not all at the same position.
        after = min(at.position for at in held.values())
        while True:
            self._poke.clear()
            while after < (head := await head_position(reader)):
                events = LogBatch(after, min(after + BATCH_LIMIT, head), held, len(held))
                await runner.project(events)
                after, held = events.upto, events.held_afterwards
                backoff.reset()
                self.trouble = None
            await wait_for(self._poke, POLL_SECONDS)
