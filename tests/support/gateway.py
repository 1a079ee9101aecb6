"""A small gateway for tests: it routes by method, as nginx.conf does, and passes every byte on as it came."""

import asyncio
import contextlib

HEAD_LIMIT = 1024 * 1024


async def serve(port: int, reads: int, commands: int) -> None:
    """Listen on a loopback port; GET and HEAD go to the port of the reads, everything else to that of the commands."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            target = reads if head.split(b" ", 1)[0] in {b"GET", b"HEAD"} else commands
            backend_reader, backend_writer = await asyncio.open_connection("127.0.0.1", target, limit=HEAD_LIMIT)
            # One request a connection: the next one may go elsewhere.
            backend_writer.write(head[:-2] + b"Connection: close\r\n\r\n")
            up = asyncio.create_task(_copy(reader, backend_writer))
            await _copy(backend_reader, writer)
            up.cancel()
            backend_writer.close()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, limit=HEAD_LIMIT)
    async with server:
        await server.serve_forever()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await source.read(65536):
            target.write(part)
            await target.drain()


if __name__ == "__main__":
    import sys

    asyncio.run(serve(*map(int, sys.argv[1:])))
