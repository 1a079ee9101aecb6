"""Runs an application under uvicorn until a signal says stop."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from shared.http.connections import Connection, Connections, Limits, allowed_connections
from shared.runtime.process import PortTaken
from shared.runtime.settings import Settings

GRACE_SECONDS = 3
LIMITS = Limits()


class Servable(Protocol):
    """An ASGI application that ends what has no end by itself once `stopping` is set."""

    stopping: asyncio.Event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""


def bind(settings: Settings) -> socket.socket:
    """Return a listening socket. Raises PortTaken, or says what else is wrong with the address."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        message = (
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Choose another with LAURELS_HOST and LAURELS_PORT."
        )
        raise PortTaken(message) from error
    listener.listen(2048)
    listener.setblocking(False)  # noqa: FBT003 - its own signature
    return listener


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when to stop. `serving` is set once it answers."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, limits: Limits) -> None:
        super().__init__(config)
        self.server_state = self._connections = Connections(limits)
        self.serving = asyncio.Event()
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        # What is there now stays: looked through again and again, it would stop everybody for a tenth of a second.
        gc.collect()
        gc.freeze()
        self.serving.set()

    async def on_tick(self, counter: int) -> bool:
        """Look for connections that are overdue, every other time; uvicorn calls this ten times a second."""
        if counter % 2 == 0:
            self._connections.sweep()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `stop_signal`."""
        yield

    def stop(self) -> None:
        """Finish the requests that are under way, for a few seconds, and end."""
        self._stopping.set()
        self.should_exit = True


def server(app: Servable, limits: Limits = LIMITS) -> Server:
    """Return a server for an application; `serve(sockets=[…])` runs it."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=Connection,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        # X-Forwarded-For is believed only where the operator has named who may set it.
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
    )
    return Server(config, app.stopping, replace(limits, connections=allowed_connections(limits)))


@contextlib.contextmanager
def stop_signal() -> Iterator[asyncio.Event]:
    """Yield an event that is set by Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def serve(app: Servable, settings: Settings) -> None:
    """Serve until a signal says stop. Raises PortTaken."""
    listener = bind(settings)
    with stop_signal() as stop:
        running = server(app)
        task = asyncio.create_task(running.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        running.stop()
        await task
