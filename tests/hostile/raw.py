"""Raw bytes to a server, and what it says and does."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

SECONDS = 20.0
"""How long a server may take to answer or to close, on a machine that may be busy."""
SENT_BY_CLIENT = "XYZZY"
"""Stands in hostile input, and may not come back."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: every byte, and whether the server closed the connection within the time."""

    raw: bytes
    closed: bool

    @property
    def status(self) -> int:
        """The status of the first answer."""
        return int(self.raw[9:12])

    def header(self, name: str) -> str:
        """Return a header of the first answer; empty if it has none."""
        for line in self.raw.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            found, _, value = line.decode("latin-1").partition(": ")
            if found.lower() == name.lower():
                return value
        return ""

    def assert_problem(self, *statuses: int) -> None:
        """Hold the answer to being problem details of one of these statuses, without a word of the client's."""
        assert self.raw.startswith(b"HTTP/1.1 "), self.raw[:200]
        head, _, body = self.raw.partition(b"\r\n\r\n")
        assert self.status in statuses, self.raw[:500]
        assert self.header("content-type") == "application/problem+json", head
        problem = orjson.loads(body[: int(self.header("content-length"))])
        assert {"type", "title", "status", "detail"} <= set(problem)
        assert problem["status"] == self.status
        assert SENT_BY_CLIENT.encode() not in self.raw


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection from an address of this machine."""
    return socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0))


def say(port: int, *parts: bytes, answers: int = 1) -> Reply:
    """Send bytes over a connection of their own, and read until so many answers are there or the server closes."""
    with connect(port) as connection:
        send(connection, parts)
        return hear(connection, answers)


def send(connection: socket.socket, parts: Iterable[bytes]) -> None:
    """Send as much as the server takes."""
    try:
        for part in parts:
            connection.sendall(part)
    except OSError:
        pass  # It has closed already, and may have said why.


def hear(connection: socket.socket, answers: int = 1) -> Reply:
    """Read until so many answers have come whole, or the server closes."""
    raw, deadline = b"", time.monotonic() + SECONDS
    try:
        while _whole(raw) < answers and time.monotonic() < deadline:
            part = connection.recv(65536)
            if not part:
                return Reply(raw, closed=True)
            raw += part
    except TimeoutError:
        pass
    except OSError:
        return Reply(raw, closed=True)
    return Reply(raw, closed=False)


def wait_for_end(connection: socket.socket) -> Reply:
    """Read until the server closes."""
    return hear(connection, answers=10**9)


def _whole(raw: bytes) -> int:
    count, rest = 0, raw
    while b"\r\n\r\n" in rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = next((int(h[16:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length: ")), None)
        if length is None or len(rest) < length:
            break
        count, rest = count + 1, rest[length:]
    return count
