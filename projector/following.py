"""Keeps every generation of this version up to date: the live one, and the standby ones."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from projector.feeds.event_store import EventStoreFeed
from projector.feeds.kafka import KafkaFeed
from shared.read_models.bookkeeping import GENERATIONS_CHANNEL
from shared.read_models.generations import VERSION
from shared.runtime.background import background, begin, end, keep_running, wait_for
from shared.runtime.backoff import Backoff, retry_forever
from shared.runtime.database import FAILURES, Role, connected, listen
from shared.runtime.settings import Settings, Transport

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""How often generations are looked for without a notification."""

FOLLOWED: Final = "SELECT generation FROM generations WHERE state <> 'building' AND version = $1 ORDER BY generation"


class Feed(Protocol):
    """Brings events to one generation; `trouble` says why it cannot go on, None while it can."""

    trouble: str | None

    @property
    def from_log(self) -> Mapping[int, str]:
        """The partitions that are projected from the log of late, for want of Kafka, and why."""

    async def run(self) -> None:
        """Project until cancelled."""


@dataclass(frozen=True, slots=True)
class _Running:
    feed: Feed
    task: asyncio.Task[None]


class Following:
    """Runs one feed for each generation. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[int, _Running] = {}
        self._poke = asyncio.Event()
        self._backoff = Backoff()
        self._asked = False

    @property
    def trouble(self) -> str | None:
        """Why some generation is not kept up to date, None if all are."""
        if self._asked and not self._running:
            return f"there are no read models of version {VERSION} yet; `laurels rebuild` makes them"
        stopped = ("has stopped" for running in self._running.values() if running.task.done())
        return next(stopped, next((r.feed.trouble for r in self._running.values() if r.feed.trouble), None))

    @property
    def from_log(self) -> Mapping[tuple[int, int], str]:
        """The generations and partitions that are projected from the log of late, for want of Kafka, and why."""
        return {
            (generation, partition): why
            for generation, running in self._running.items()
            for partition, why in running.feed.from_log.items()
        }

    async def run(self) -> None:
        """Follow the generations as they come and go."""
        try:
            async with background(
                listen(self._settings.database_url, Role.PROJECTOR, GENERATIONS_CHANNEL, self._poke.set)
            ):
                await retry_forever(self._look, FAILURES, self._on_failure, self._backoff)
        finally:
            await self._follow([])

    def _on_failure(self, error: Exception) -> None:
        logger.debug("the generations are not known: %s", error)

    async def _look(self) -> None:
        async with connected(self._settings.database_url, Role.PROJECTOR) as connection:
            while True:
                self._poke.clear()
                await self._follow([row["generation"] for row in await connection.fetch(FOLLOWED, VERSION)])
                self._asked = True
                self._backoff.reset()
                await wait_for(self._poke, POLL_SECONDS)

    async def _follow(self, generations: list[int]) -> None:
        for generation in self._running.keys() - set(generations):
            await end(self._running.pop(generation).task)
        for generation in generations:
            if generation not in self._running:
                feed = self._feed(generation)
                self._running[generation] = _Running(feed, begin(keep_running(feed.run, Backoff().sleep)))

    def _feed(self, generation: int) -> Feed:
        if self._settings.transport is Transport.KAFKA:
            return KafkaFeed(self._settings, generation)
        return EventStoreFeed(self._settings.database_url, generation)
