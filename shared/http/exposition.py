"""The text of all metrics, as Prometheus reads it, made without holding up the event loop."""

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from prometheus_client import REGISTRY, Metric, disable_created_metrics, generate_latest
from prometheus_client.registry import Collector

from shared.runtime.database import FAILURES

SLICE: Final = 50
"""Samples that are written before others get their turn: about half a millisecond."""
REFRESH_SECONDS: Final = 2.0
REST: Final = 20
"""A text is given for so many times the time that it took, so that this never takes more than a part of the loop's."""
REST_SECONDS: Final = 1.0
"""How long it is given at the most."""


class Exposition:
    """Makes one text at a time, which all get who ask; `refresh` brings the gauges up to date before."""

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        # When a series began is of no use here, and a third of the text.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._refresh = refresh
        self._text: bytes | None = None
        self._fresh_until = 0.0
        self._making: asyncio.Task[None] | None = None

    async def text(self) -> bytes:
        """Return the last text. Who asks when that is old waits for a new one; those who ask meanwhile do not."""
        if self._making is None and (self._text is None or time.monotonic() > self._fresh_until):
            self._making = asyncio.create_task(self._make())
            await asyncio.shield(self._making)
        while self._text is None and self._making is not None:
            await asyncio.shield(self._making)
        return self._text or b""

    async def _make(self) -> None:
        try:
            with contextlib.suppress(*FAILURES, TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._refresh()
            started = time.monotonic()
            self._text = b"".join([part async for part in _parts(REGISTRY.collect())])
            made = time.monotonic()
            self._fresh_until = made + min(REST_SECONDS, REST * (made - started))
        finally:
            self._making = None


class _Piece(Collector):
    """Some samples of one family."""

    def __init__(self, family: Metric, start: int) -> None:
        self._part = copy.copy(family)
        self._part.samples = family.samples[start : start + SLICE]

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return [self._part]


async def _parts(families: Iterable[Metric]) -> AsyncIterator[bytes]:
    for family in families:
        for start in range(0, max(1, len(family.samples)), SLICE):
            text = generate_latest(_Piece(family, start))
            # What a family is stands in two lines before its first sample.
            yield text if start == 0 else text.split(b"\n", 2)[2]
            await asyncio.sleep(0)
