"""Detects stalls: work that is behind and whose position does not change."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from shared.runtime.database import FAILURES, Connection, Pool

logger = logging.getLogger(__name__)

STALL_SECONDS: Final = 30.0
"""Seconds without progress after which it is a stall; retries and takeovers are over by then."""
LOOK_SECONDS: Final = 1.0

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class _Seen:
    position: int
    since: float


class Stalls(Generic[Key]):
    """Knows since when each of several things has been at the position where it is, while it has something to do."""

    def __init__(self, seconds: float = STALL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._seen: dict[Key, _Seen] = {}

    def note(self, behind: Mapping[Key, int]) -> None:
        """Note the positions of those that have something to do; the others make no progress because there is none."""
        now = self._clock()
        self._seen = {
            key: seen if (seen := self._seen.get(key)) and seen.position == position else _Seen(position, now)
            for key, position in behind.items()
        }

    @property
    def stalled(self) -> Mapping[Key, float]:
        """Those that have made no progress for too long, with the seconds that it has been."""
        now = self._clock()
        waiting = {key: now - seen.since for key, seen in self._seen.items()}
        return {key: seconds for key, seconds in waiting.items() if seconds >= self._seconds}


async def keep_looking(pool: Pool, look: Callable[[Connection], Awaitable[None]]) -> None:
    """Look every LOOK_SECONDS until cancelled; the database check reports a database that is away."""
    while True:
        try:
            async with pool.acquire() as connection:
                await look(connection)
        except FAILURES as error:
            logger.debug("the positions are not known: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
