"""The bodies of requests: their media types, limits, and those that have no end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from shared.http.app import Application
from shared.http.negotiation import JSON
from shared.http.problems import Problem, content_too_large

BODY_LIMIT: Final = 1024 * 1024
BATCH_LIMIT: Final = 16 * BODY_LIMIT
DRAINED: Final = 2 * BATCH_LIMIT
"""Bytes beyond the limit that are read and dropped: a client that still sends would not see the answer."""
MOST_DIGITS: Final = 20
"""Of a Content-Length, which is below 2^64 by then."""
STREAM_IDLE_SECONDS: Final = 60.0
"""How long a stream of lines may say nothing, after which it is ended."""


async def read_json(request: Request) -> bytes:
    """Return the whole body of a single request. Raises a 415 Problem when it is not JSON, a 413 one over 1 MiB."""
    check_media_type(request, (JSON,))
    return await read_body(request, BODY_LIMIT)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises a 413 Problem when it is longer than `limit` bytes."""
    body, size = bytearray(), 0
    too_large = content_too_large(limit)
    if _announced_length(request) > limit and "expect" in request.headers:
        # The client waits to be told before it sends; whether it does so all the same, nobody would know.
        too_large.headers = {"Connection": "close"}
        raise too_large
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            body += part
        elif size > limit + DRAINED:
            break
    if size > limit:
        raise too_large
    return bytes(body)


async def until_stopping(request: Request, idle_seconds: float = STREAM_IDLE_SECONDS) -> AsyncIterator[bytes]:
    """Yield the parts of a body that may have no end.

    Raises ClientDisconnect when the service stops, so that nothing holds that up, and a 408 Problem when nothing comes
    for so long.
    """
    stopping = asyncio.create_task(_stopping(request).wait())
    parts = request.stream()
    part: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            part = asyncio.ensure_future(anext(parts, None))
            await asyncio.wait([part, stopping], timeout=idle_seconds, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not part.done():
                raise ClientDisconnect
            if not part.done():
                raise Problem(408, "too-slow", f"Nothing came for {idle_seconds:g} seconds.")
            if (received := part.result()) is None:
                return
            yield received
    finally:
        stopping.cancel()
        if part is not None:
            part.cancel()


def _stopping(request: Request) -> asyncio.Event:
    app: Application = request.app
    return app.stopping


def check_media_type(request: Request, media_types: Sequence[str]) -> str:
    """Return the media type of the body. Raises a 415 Problem when it is none of these."""
    name, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next((part[8:].strip('"') for part in parameters if part.startswith("charset=")), "utf-8")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if name not in media_types or charset != "utf-8" or coding != "identity":
        raise Problem(
            415,
            "unsupported-media-type",
            f"The body has to be {' or '.join(media_types)} in UTF-8, without a content coding.",
            headers={"Accept": ", ".join(media_types)},
        )
    return name


def _announced_length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    # Any number of zeros may precede it, and Python converts only so many digits.
    return int(text.lstrip("0")[:MOST_DIGITS] or 0) if text.isascii() and text.isdigit() else 0
