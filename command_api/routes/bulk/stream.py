"""A bulk request as a stream of lines, answered while it is still read."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from command_api import answers
from command_api.answers import Answer
from command_api.group import Submission
from command_api.routes.answering import Service, client_of, patience
from command_api.routes.bulk.chunks import CHUNK, Commands, Keys, bind, checked, checked_item, last_position, result
from command_api.schemas.fields import Context
from shared.http import strict_json
from shared.http.bodies import BODY_LIMIT, until_stopping
from shared.http.negotiation import NDJSON
from shared.http.prefer import preferences
from shared.http.problems import Problem, content_too_large


async def answer_stream(service: Service, request: Request, key: str | None) -> Response:
    """Answer with a line for each line, as the groups that they are in are committed."""
    known = await bind(service, key, NDJSON.encode())
    return Streamed(_results(service, request, Keys(key)), {"Idempotency-Replayed": "true"} if known else {})


async def _results(service: Service, request: Request, keys: Keys) -> AsyncIterator[bytes]:
    """Yield result lines as soon as they are there; while one chunk is committed, the next one is read and checked."""
    request_commands = Commands(service, client_of(request))
    chunks = _line_chunks(until_stopping(request))
    coming = asyncio.ensure_future(anext(chunks, None))
    pending: asyncio.Task[list[Answer]] | None = None
    position, index = 0, 0
    try:
        while True:
            if pending is not None:
                await asyncio.wait({coming, pending}, return_when=asyncio.FIRST_COMPLETED)
            if pending is not None and pending.done():
                position = max(position, last_position(pending.result()))
                yield _lines(pending.result())
                pending = None
            if (lines := await coming) is None:
                break
            coming = asyncio.ensure_future(anext(chunks, None))
            checking = (_line_item(number, line, keys, service.context) for number, line in enumerate(lines, index))
            items = await checked(checking)
            index += len(lines)
            if pending is not None:
                position = max(position, last_position(await pending))
                yield _lines(pending.result())
            pending = asyncio.create_task(request_commands.answer(items))
    except (ClientDisconnect, Problem):
        if pending is not None:
            yield _lines(await pending)
        raise
    finally:
        coming.cancel()
    last = await pending if pending is not None else []
    wanted = preferences(request.headers.get("prefer"))
    if (position := max(position, last_position(last))) and not wanted.respond_async:
        await service.visibility.reached(position, patience(wanted))
    yield _lines(last)


async def _line_chunks(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield the lines as they come in, up to CHUNK at once; an endless line is cut off, and its head kept."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        # A line that is too long need not be held to its end to be refused.
        rest = rest[: BODY_LIMIT + 1]
        lines = [line for line in lines if line.strip()]
        for start in range(0, len(lines), CHUNK):
            yield lines[start : start + CHUNK]
    if rest.strip():
        yield [rest]


def _line_item(index: int, line: bytes, keys: Keys, context: Context) -> Submission | Answer:
    if len(line) > BODY_LIMIT:
        return answers.refusal(content_too_large(BODY_LIMIT, "A line"))
    try:
        value = strict_json.decode(line)
    except Problem as problem:
        return answers.refusal(problem)
    return checked_item(index, value, keys, context, check=strict_json.has_escapes(line))


class Streamed(Response):
    """Answers while the request is still read. Starlette's own would read on, to see whether the client left."""

    media_type = NDJSON

    def __init__(self, parts: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the parts as they come; a client that leaves ends it, and one that is silent is told so last."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        last = b""
        try:
            async for part in self._parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except ClientDisconnect:
            # Left without its end, so that a client that still listens knows that this is not all.
            return
        except Problem as problem:
            last = _lines([answers.refusal(problem)])
        await send({"type": "http.response.body", "body": last, "more_body": False})


def _lines(given: Sequence[Answer]) -> bytes:
    return b"".join(result(answer) + b"\n" for answer in given)
