"""How long after its acknowledgement a command is visible: a read that waits for its position follows each one."""

import asyncio
import re
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import uvloop

from bench.client import WARM_UP_SECONDS, LoadFailed, Outcome, request

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_POSITION: Final = re.compile(rb"\r\nevent-position: *(\d+)", re.IGNORECASE)
READ: Final = "/api/v1/users/achievements-stats/max-count/?min_position={position}"
WAIT: Final = "Prefer: wait=10\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Commands in turn at a fixed rate for so many seconds, each followed by a read of the service at `reads`."""

    commands: int
    reads: int
    requests: Sequence[bytes]
    connections: int
    rate: float
    seconds: float


def run(watch: Watch) -> Outcome:
    """Return the seconds from each acknowledgement to the read that shows it. Raises LoadFailed."""
    return uvloop.run(_run(watch))


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, message: bytes) -> bytes:
        """Send a request; return the head of the answer."""
        self.writer.write(message)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        if head[9:10] != b"2":
            raise LoadFailed((head + body).decode(errors="replace"))
        return head


async def _run(watch: Watch) -> Outcome:
    free: asyncio.Queue[tuple[_Stream, _Stream]] = asyncio.Queue()
    for _ in range(watch.connections):
        free.put_nowait((await _Stream.open(watch.commands), await _Stream.open(watch.reads)))
    latencies = array("d")
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(watch.rate * (WARM_UP_SECONDS + watch.seconds))):
            due = number / watch.rate
            await asyncio.sleep(started + due - time.perf_counter())
            pair = await free.get()
            message = watch.requests[number % len(watch.requests)]
            tasks.create_task(_follow(message, pair, free, latencies if due >= WARM_UP_SECONDS else array("d")))
    return Outcome(watch.seconds, latencies)


async def _follow(
    message: bytes,
    pair: tuple[_Stream, _Stream],
    free: "asyncio.Queue[tuple[_Stream, _Stream]]",
    latencies: "array[float]",
) -> None:
    commands, reads = pair
    head = await commands.ask(message)
    acknowledged = time.perf_counter()
    position = _POSITION.search(head)
    if position is None:
        raise LoadFailed("a command was answered without a position")
    await reads.ask(request("GET", READ.format(position=position[1].decode()), headers=WAIT))
    latencies.append(time.perf_counter() - acknowledged)
    free.put_nowait(pair)
