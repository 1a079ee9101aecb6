"""A TCP proxy that cuts connections: at once, in mid-frame, or after a request went through and before its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

PART = 65536


@dataclass(slots=True)
class Proxy:
    """Listens on a loopback port and passes bytes on to a TCP port or a Unix socket."""

    target: int | Path
    port: int = 0
    cuts: int = 0
    _swallow: bytes | None = None
    _halve: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection, wherever in a message it is."""
        for writer in list(self._writers):
            writer.transport.abort()
            self.cuts += 1

    def swallow_answer_to(self, pattern: bytes) -> None:
        """Let the next request with these bytes through, and cut its connection before the answer."""
        self._swallow = pattern

    def cut_in_mid_frame(self) -> None:
        """Let half of what is sent next through, by either side, and cut that connection."""
        self._halve = True

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await self._connect()
        except OSError:
            writer.close()
            return
        self._writers |= {writer, upstream[1]}
        try:
            tasks = {
                asyncio.create_task(self._requests(reader, upstream[1])),
                asyncio.create_task(self._answers(upstream[0], writer)),
            }
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            self._writers -= {writer, upstream[1]}
            writer.close()
            upstream[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for part in self._passed(reader, writer):
            if self._swallow is not None and self._swallow in part:
                self._swallow = None
                self.cuts += 1
                # Returning ends the other direction too, so the answer is never passed on; the server works on.
                return

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for _ in self._passed(reader, writer):
            pass

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
        """Pass bytes on and yield what was passed, until one side ends or the connection is to be cut."""
        with contextlib.suppress(OSError):
            while part := await reader.read(PART):
                halve, self._halve = self._halve, False
                writer.write(part[: len(part) // 2] if halve else part)
                await writer.drain()
                if halve:
                    self.cuts += 1
                    return
                yield part
