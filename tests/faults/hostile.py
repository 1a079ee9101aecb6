"""A hostile client beside the load: noise, half requests and connections that it leaves open."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.hostile.corpus import MALFORMED, SERVED, TOO_LARGE

KEPT_OPEN = 50
PAUSE_SECONDS = 0.02
CORPUS = [*MALFORMED.values(), *(raw for _, raw in (*TOO_LARGE.values(), *SERVED.values()))]
UNAVAILABLE = b"503"


@dataclass(slots=True)
class Hostile:
    """Attacks the services at these ports; `on_error` is called for every answer of 5xx but 503."""

    ports: Sequence[int]
    random: random.Random
    on_error: Callable[[bytes], None]
    attacks: int = 0
    _open: deque[asyncio.StreamWriter] = field(default_factory=deque)

    async def run(self) -> None:
        """Attack until cancelled."""
        try:
            while True:
                # The services are killed, paused and started again all the time.
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(2):
                        await self._attack()
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            for writer in self._open:
                writer.close()

    async def _attack(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.random.choice(self.ports))
        self._open.append(writer)
        if len(self._open) > KEPT_OPEN:
            self._open.popleft().close()
        raw, is_whole = self.random.choice(CORPUS), self.random.random() < 0.5
        writer.write(raw if is_whole else raw[: self.random.randrange(len(raw))])
        self.attacks += 1
        if is_whole:
            answer = await reader.read(512)
            status = answer[9:12]
            if status.startswith(b"5") and status != UNAVAILABLE:
                self.on_error(answer)
