"""The embedded default: the log itself feeds the projections, and no event leaves the database."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from projector.batch import MissingEvents, UnknownEvents
from projector.log_batch import LogBatch
from projector.runner import Runner, TakenOver
from shared.event_store.log import APPENDED_CHANNEL, head_position
from shared.runtime.background import background, wait_for
from shared.runtime.backoff import Backoff, retry_forever
from shared.runtime.database import FAILURES, OwnConnection, Role, connected, listen

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
"""Positions in one transaction at the most: enough for the full rate, and a fraction of a second of work."""
POLL_SECONDS: Final = 1.0
"""How often the log is looked at without a notification."""

RETRIED: Final[tuple[type[Exception], ...]] = (TakenOver, MissingEvents, UnknownEvents, *FAILURES)

# One projector works, the others are on standby. The lock only saves work; the epoch in `progress` fences.
WAIT_FOR_LOCK: Final = "SELECT pg_advisory_lock(hashtext('laurels projector ' || $1::int))"


class EventStoreFeed:
    """Follows the log for one generation. Run `run()` as a task; it ends when cancelled.

    `trouble` says why it cannot go on, None while it can.
    """

    def __init__(self, url: str, generation: int) -> None:
        self._url, self._generation = url, generation
        self._poke = asyncio.Event()
        self._backoff = Backoff()
        self.trouble: str | None = None
        self.from_log: Mapping[int, str] = {}

    async def run(self) -> None:
        """Project until cancelled, with new connections after every failure."""
        async with background(listen(self._url, Role.PROJECTOR, APPENDED_CHANNEL, self._poke.set)):
            await retry_forever(self._follow, RETRIED, self._on_failure, self._backoff)

    def _on_failure(self, error: Exception) -> None:
        match error:
            case TakenOver():
                logger.info("another projector took over, or generation %d is gone; on standby", self._generation)
            case MissingEvents() | UnknownEvents():
                logger.error("the projection cannot go on: %s", error)
                self.trouble = str(error)
            case _:
                logger.warning("the projector connects again: %s: %s", type(error).__name__, error)

    async def _follow(self) -> None:
        # A projector on standby may wait for ever.
        async with connected(self._url, Role.PROJECTOR, command_timeout=None) as reader:
            await reader.execute(WAIT_FOR_LOCK, self._generation)
            runner = await Runner.open(self._url, self._generation)
            try:
                await self._project_all(reader, runner)
            finally:
                runner.close()

    async def _project_all(self, reader: OwnConnection, runner: Runner) -> None:
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
                self._backoff.reset()
                self.trouble = None
            await wait_for(self._poke, POLL_SECONDS)
