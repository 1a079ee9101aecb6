"""Retry with backoff: work that is to go on for ever, with pauses that grow while it fails."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn


class Backoff:
    """Pauses that double from `first` to `most` seconds, each with jitter, so that many clients do not come at once."""

    def __init__(self, *, first: float = 0.05, most: float = 2.0) -> None:
        self._first, self._most = first, most
        self._next = first

    def reset(self) -> None:
        """Start again from the shortest pause, as after a success."""
        self._next = self._first

    def next_pause(self) -> float:
        """Return the seconds to wait now, and make the next pause longer."""
        pause = self._next * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no secrecy
        self._next = min(self._next * 2, self._most)
        return pause

    async def sleep(self) -> None:
        """Wait for the next pause."""
        await asyncio.sleep(self.next_pause())


async def retry_forever(
    work: Callable[[], Awaitable[None]],
    failures: tuple[type[Exception], ...],
    on_failure: Callable[[Exception], None],
    backoff: Backoff | None = None,
) -> NoReturn:
    """Run the work again and again until cancelled, with a pause each time that it fails or returns.

    The work calls `backoff.reset()` as soon as it gets on. An error that is none of `failures` is raised.
    """
    backoff = backoff or Backoff()
    while True:
        try:
            await work()
        except failures as error:
            on_failure(error)
        await backoff.sleep()
