"""Connections of clients, and what each may take: size and time of a head, pace of a body, number, and pipelining.

uvicorn parses and serves; this counts, and answers problem details to what the parser refuses. Deadlines are compared
in one sweep over all connections, by a clock that stands while the process does, so that no request starts a timer.
"""

import asyncio
import contextlib
import heapq
import resource
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from shared.http.problems import MEDIA_TYPE, InputError, Problem, invalid_input, unavailable
from shared.runtime.hosts import client_key
from shared.runtime.metrics import REFUSED

RESERVED_FILES: Final = 128
"""File descriptors kept for the database, the broker, logs, and connections that are being closed."""
LONGEST_STEP: Final = 1.0
"""Seconds that pass between two sweeps at the most: time in which the process stood is not held against its clients."""
SWEEP_SECONDS: Final = 0.01
"""What one sweep may take; the next one goes on with those that are left."""
EVICTED_AT_ONCE: Final = 32
"""The part of a client's connections that is closed in one go, so that a flood does not cost a search for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may take, in bytes, seconds and numbers; `connections` is how many there may be in all."""

    connections: int = 4096
    head_bytes: int = 64 * 1024
    headers: int = 100
    target_bytes: int = 16 * 1024
    head_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    body_seconds: float = 10.0
    body_bytes_per_second: int = 4096
    """A body may take `body_seconds`, and beyond that as long as it comes at this pace on the whole."""
    framing_bytes: int = 64 * 1024
    """Chunk extensions and trailers of a body, beyond what its chunks need."""
    pipelined: int = 64
    unread_seconds: float = 30.0
    """How long a client may leave an answer unread."""
    linger_seconds: float = 30.0
    silence_seconds: float = 5.0
    """After the last answer, what a client still sends is read and dropped for so long, so that it sees the answer."""


class Phase(Enum):
    """What a connection is doing; the server waits for the client in all of them but ANSWER."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    CLOSING = auto()


_IDLE, _HEAD, _BODY, _ANSWER, _CLOSING = Phase  # looking members up costs time on every request


class Connections(ServerState):
    """All connections of a server.

    Where there are as many as there may be, the client that has most loses one of its own: first those that wait for
    the client, the longest wait before all. A client is an address, or an IPv6 network of 64 bits.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.now = 0.0
        self._swept_at = time.monotonic()
        self._by_client: dict[str, dict[Connection, None]] = {}

    def admit(self, newcomer: "Connection") -> bool:
        """Make room for a new connection; return whether there is any."""
        self._by_client.setdefault(newcomer.client_key, {})[newcomer] = None
        if len(self.connections) <= self.limits.connections:
            return True
        greedy = max(self._by_client.values(), key=len)
        waiting = [one for one in greedy if one.waits_for_client and one is not newcomer]
        if not waiting and newcomer not in greedy:
            waiting = list(greedy)
        for one in heapq.nsmallest(1 + len(waiting) // EVICTED_AT_ONCE, waiting, key=Connection.waiting_since):
            self.leave(one)
            one.transport.abort()
        return len(self.connections) <= self.limits.connections

    def leave(self, connection: "Connection") -> None:
        """Forget a connection; again is no harm."""
        self.connections.discard(connection)
        theirs = self._by_client.get(connection.client_key, {})
        theirs.pop(connection, None)
        if not theirs:
            self._by_client.pop(connection.client_key, None)

    def sweep(self) -> None:
        """Close connections that are overdue. Call it several times a second."""
        swept_at = time.monotonic()
        self.now += min(swept_at - self._swept_at, LONGEST_STEP)
        self._swept_at = swept_at
        for connection in self._all():
            connection.check_time()
            if time.monotonic() - swept_at > SWEEP_SECONDS:
                break

    def _all(self) -> list["Connection"]:
        return [connection for theirs in self._by_client.values() for connection in theirs]


class Connection(HttpToolsProtocol):
    """One connection. `server_state` is that of `Connections`."""

    server_state: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin, if there is room."""
        super().connection_made(transport)
        self.client_key = client_key(self.client[0] if self.client else "")
        self._refusal: Problem | None = None
        self._head_size = self._framing_size = self._body_size = self._data_size = self._unread = 0
        self._phase = _IDLE
        self._since = self._moved_at = self._read_at = self.server_state.now
        if not self.server_state.admit(self):
            self._refuse(unavailable("There are too many connections at the moment."))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.server_state.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless the connection only waits for its end."""
        if self._refusal is not None:
            self._moved_at = self.server_state.now
            return
        if self._phase is _BODY:
            self._framing_size += len(data)
        else:
            self._head_size += len(data)
        self._data_size = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # No other protocol is spoken here; the answer ends the connection.
        except httptools.HttpParserError as error:
            found = error.__context__
            self._refuse(found if isinstance(found, Problem) else _malformed("The request cannot be read."))
        else:
            limits = self.server_state.limits
            if self._phase is _BODY:
                if self._framing_size > limits.framing_bytes:
                    self._refuse(_malformed("The body has too much that is not content."))
            elif self._head_size > limits.head_bytes and self._phase is not _ANSWER:
                self._refuse(_head_too_large(limits))

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        HttpToolsProtocol.on_message_begin(self)
        self._phase = _HEAD
        self._since = self.server_state.now

    def on_headers_complete(self) -> None:
        """Check the head, and have the request served."""
        if problem := self._wrong_with_head():
            raise problem
        HttpToolsProtocol.on_headers_complete(self)
        # Trailers come in as headers do; they are no part of the request.
        self.headers = []
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False
        self._phase = _BODY
        self._since = self.server_state.now
        self._body_size = self._framing_size = 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        # The framing of a chunk of one byte is six bytes, and more is not suspicious.
        self._framing_size = max(0, self._framing_size - 2 * len(body) - 16)
        self._body_size += len(body)
        self._moved_at = self.server_state.now
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        HttpToolsProtocol.on_message_complete(self)
        self._phase = _IDLE if self.cycle.response_complete else _ANSWER
        self._head_size = 0

    def on_response_complete(self) -> None:
        """Go on with the next request; uvicorn's own would start a timer for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._send_refusal(self._refusal)
        elif self._phase is not _HEAD:
            self._phase = _IDLE if self._phase is _ANSWER else self._phase
            self._since = self._moved_at = self.server_state.now

    @property
    def waits_for_client(self) -> bool:
        """Whether there is no request whose answer is under way."""
        return self._phase is _CLOSING or (self._phase in {_IDLE, _HEAD} and self._answered)

    def waiting_since(self) -> float:
        """When its phase began, by the clock of `Connections`."""
        return self._since

    def check_time(self) -> None:
        """Close the connection, or refuse its request, if the client takes too long."""
        now, limits = self.server_state.now, self.server_state.limits
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread:
            self._read_at = now
        self._unread = unread
        if now - self._read_at > limits.unread_seconds:
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self.flow.read_paused or (self._refusal is not None and self._phase is not _CLOSING):
            # It is not the client that holds this up.
            self._since = now
        elif self._phase is _CLOSING or (self._phase is _BODY and self.cycle.response_complete):
            if now - self._moved_at > limits.silence_seconds or now - self._since > limits.linger_seconds:
                self.transport.abort()
        elif now - self._since > self._patience(limits):
            self._give_up(limits)

    def _patience(self, limits: Limits) -> float:
        """Return the seconds that its phase may take."""
        if self._phase is _IDLE and self.cycle is not None:
            return limits.keep_alive_seconds
        if self._phase is _BODY and not self.cycle.response_started:
            return limits.body_seconds + self._body_size / limits.body_bytes_per_second
        # A route that answers already says how long to wait for the rest of the body.
        return limits.head_seconds if self._phase in {_IDLE, _HEAD} else float("inf")

    def _give_up(self, limits: Limits) -> None:
        if self._phase is _IDLE:
            self.transport.close()
        elif self._phase is _HEAD:
            self._refuse(_too_slow(f"The head did not come whole within {limits.head_seconds:g} seconds."))
        else:
            self._refuse(_too_slow("The body comes too slowly."))

    def _wrong_with_head(self) -> Problem | None:
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        if version not in {"1.1", "1.0"}:
            return _malformed("This is not HTTP/1.1 or HTTP/1.0.")
        if names.count(b"host") != 1 and (version == "1.1" or b"host" in names):
            return _malformed("The request has to name one Host.")
        if b"transfer-encoding" in names and (version == "1.0" or not self._is_chunked_only()):
            return _malformed("No other transfer coding than chunked is known here.")
        return self._too_much_in_head()

    def _too_much_in_head(self) -> Problem | None:
        limits = self.server_state.limits
        may_be_too_long = max(self._head_size, self._data_size) > limits.head_bytes
        if len(self.headers) > limits.headers or (may_be_too_long and self._exact_head_size() > limits.head_bytes):
            return _head_too_large(limits)
        if len(self.url) > limits.target_bytes:
            return Problem(414, "target-too-long", f"The target may have {limits.target_bytes} bytes at the most.")
        if len(self.pipeline) >= limits.pipelined:
            detail = "Too many requests on this connection wait for their answers."
            return Problem(429, "rate-limited", detail, headers={"Retry-After": "1"})
        return None

    def _exact_head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _is_chunked_only(self) -> bool:
        return all(value.lower() == b"chunked" for name, value in self.headers if name == b"transfer-encoding")

    @property
    def _answered(self) -> bool:
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem when what came before is answered, and close."""
        self._refusal = problem
        REFUSED.labels(problem.status).inc()
        if self._phase is _BODY and not self.cycle.response_complete:
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
                return
            # Its application is told that the client has gone, and what it answers is dropped.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
            else:
                self._send_refusal(problem)
        elif self._answered:
            self._send_refusal(problem)

    def _send_refusal(self, problem: Problem) -> None:
        body = problem.json()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        lines = [STATUS_LINE[problem.status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n"]
        self.transport.write(b"".join(lines) + body)
        # Closed at once, with something unread, the connection would be reset and the answer lost.
        self.transport.write_eof()
        self.flow.resume_reading()
        self._phase = _CLOSING
        self._since = self._moved_at = self.server_state.now


def allowed_connections(limits: Limits) -> int:
    """Raise this process's limit of open files as far as it goes; return how many connections it then allows."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    return min(limits.connections, max(soft - RESERVED_FILES, soft // 2))


def _malformed(detail: str) -> Problem:
    return invalid_input(InputError("", detail))


def _head_too_large(limits: Limits) -> Problem:
    detail = f"The head may have {limits.headers} headers and {limits.head_bytes} bytes at the most."
    return Problem(431, "head-too-large", detail)


def _too_slow(detail: str) -> Problem:
    return Problem(408, "too-slow", detail)
