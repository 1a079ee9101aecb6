"""Work in slices, so that nobody else's request waits for the whole of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

Item = TypeVar("Item")

SLICE_SECONDS: Final = 0.001
"""Work before others get their turn: commits, and requests of a single command."""


async def in_slices(items: Iterable[Item]) -> AsyncIterator[list[Item]]:
    """Yield the items, as many at a time as are made within SLICE_SECONDS, and let others go on in between."""
    made: list[Item] = []
    ends = time.perf_counter() + SLICE_SECONDS
    for item in items:
        made.append(item)
        if time.perf_counter() >= ends:
            yield made
            await asyncio.sleep(0)
            made, ends = [], time.perf_counter() + SLICE_SECONDS
    yield made
