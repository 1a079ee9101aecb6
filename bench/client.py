"""The load: an HTTP client that is quick enough to load a server from one core, in a process of its own.

Plain sockets and `select`: its timeout is in microseconds, while the event loops of Python wait in whole milliseconds.
"""

import gc
import math
import re
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Final

WARM_UP_SECONDS: Final = 0.5
"""What comes before this is not counted: the server opens its connections and prepares its statements."""
PATIENCE_SECONDS: Final = 30.0
"""How long an answer may take before the load gives up."""
RECEIVED_AT_ONCE: Final = 1 << 18

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


class LoadFailed(Exception):
    """The server refused a request, hung up or did not answer; the message has what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send: the requests in turn, for so many seconds, or with a `count` so many of them.

    With a `rate`, in requests a second, they keep to a schedule whatever the answers do; without one, each connection
    sends its next request when it has its answer.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    rate: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: how many answers in how many seconds, and the latency of each in seconds."""

    seconds: float
    latencies: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def mean(self) -> float:
        """The mean latency in seconds."""
        return sum(self.latencies) / len(self.latencies)


def request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """Return the bytes of an HTTP request; `headers` are whole lines, each with its line end."""
    content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{content}{headers}\r\n".encode() + body


def run(load: Load) -> Outcome:
    """Put the load on the server. Raises LoadFailed unless every answer is a success."""
    connections = [_Connection(load.port) for _ in range(load.connections)]
    gc.disable()
    try:
        return _open_loop(load, connections) if load.rate else _closed_loop(load, connections)
    finally:
        gc.enable()
        for connection in connections:
            connection.close()


class _Connection:
    """One connection with at most one request under way; `since` is the moment that its latency counts from."""

    __slots__ = ("_received", "_socket", "since")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.since = 0.0

    def fileno(self) -> int:
        """Let `select` wait for it."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, message: bytes, since: float) -> None:
        """Send a request."""
        self.since = since
        self._socket.sendall(message)

    def answered(self) -> bool:
        """Take in what has come; return whether the answer is whole. Raises LoadFailed for any but a success."""
        part = self._socket.recv(RECEIVED_AT_ONCE)
        if not part:
            raise LoadFailed("the server hung up")
        received = self._received + part if self._received else part
        if not is_whole(received):
            self._received = received
            return False
        self._received = b""
        return True


def is_whole(received: bytes) -> bool:
    """Tell whether a response has come to its end. Raises LoadFailed unless its status is a success."""
    head = received.find(_HEAD_END)
    if head < 0:
        return False
    if received[9:10] != b"2":
        raise LoadFailed(received[:500].decode(errors="replace"))
    length = _LENGTH.search(received, 0, head)
    if length is None:
        raise LoadFailed("an answer does not say its length")
    return len(received) >= head + len(_HEAD_END) + int(length[1])


def _closed_loop(load: Load, connections: Sequence[_Connection]) -> Outcome:
    requests = islice(cycle(load.requests), load.count)
    clock = time.perf_counter
    begin = clock() + (WARM_UP_SECONDS if load.count is None else 0)
    end = begin + load.seconds if load.count is None else math.inf
    latencies = array("d")
    busy = set[_Connection]()
    for connection, message in zip(connections, requests, strict=False):
        connection.send(message, clock())
        busy.add(connection)
    while busy:
        for connection in _readable(busy, PATIENCE_SECONDS):
            if not connection.answered():
                continue
            now = clock()
            # A service that gave no answer in time has its first one counted, however late.
            if begin <= now < end or (now >= end and not latencies):
                latencies.append(now - connection.since)
            following = next(requests, None) if now < end else None
            if following:
                connection.send(following, now)
            else:
                busy.remove(connection)
    return Outcome(load.seconds or clock() - begin, latencies)


def _open_loop(load: Load, connections: Sequence[_Connection]) -> Outcome:
    clock = time.perf_counter
    schedule = Schedule(clock(), load.rate or 0.0, WARM_UP_SECONDS + load.seconds)
    requests = cycle(load.requests)
    begin = schedule.started + WARM_UP_SECONDS
    latencies = array("d")
    free, busy = list(connections), set[_Connection]()
    while busy or not schedule.finished:
        schedule.call(clock())
        while free and schedule.waiting:
            connection = free.pop()
            connection.send(next(requests), schedule.waiting.popleft())
            busy.add(connection)
        timeout = schedule.next_at - clock() if free and not schedule.all_called else PATIENCE_SECONDS
        for connection in _readable(busy, timeout, may_time_out=bool(free) and not schedule.all_called):
            if connection.answered():
                if connection.since >= begin:
                    latencies.append(clock() - connection.since)
                busy.remove(connection)
                free.append(connection)
    return Outcome(load.seconds, latencies)


class Schedule:
    """When requests are due, at a fixed rate. `waiting` are those that are due and have no connection yet.

    A latency counts from the time on the schedule, so that a server that stalls cannot hide it by not being asked.
    """

    def __init__(self, started: float, rate: float, seconds: float) -> None:
        self.started = started
        self.waiting: deque[float] = deque()
        self._times: Iterator[float] = (started + number / rate for number in range(int(rate * seconds)))
        self.next_at = started
        self.all_called = False
        self._advance()

    @property
    def finished(self) -> bool:
        """Whether every request was called and sent."""
        return self.all_called and not self.waiting

    def call(self, now: float) -> None:
        """Let all wait that are due by now."""
        while not self.all_called and self.next_at <= now:
            self.waiting.append(self.next_at)
            self._advance()

    def _advance(self) -> None:
        following = next(self._times, None)
        if following is None:
            self.all_called = True
        else:
            self.next_at = following


def _readable(busy: set[_Connection], timeout: float, *, may_time_out: bool = False) -> list[_Connection]:
    readable, _, _ = select.select(busy, (), (), max(timeout, 0.0))
    if not readable and not may_time_out:
        raise LoadFailed(f"the server did not answer within {PATIENCE_SECONDS:.0f} s")
    return readable
