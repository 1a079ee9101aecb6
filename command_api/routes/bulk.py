"""Commands in bulk: an array, or a stream of lines read and answered in bounded memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from command_api import answers
from command_api.answers import Answer
from command_api.group import Submission
from command_api.group_commit import DatabaseUnavailable
from command_api.idempotency import claim, keyed
from command_api.routes.answering import (
    Service,
    client_of,
    key_of,
    not_taken,
    patience,
    position_headers,
    service,
)
from command_api.routes.documentation import PARAMETERS
from command_api.schemas import AnyBulkCommand, Context, bulk_command
from command_api.waiting import Overloaded
from shared.http import strict_json
from shared.http.app import (
    BATCH_LIMIT,
    BODY_LIMIT,
    JSON,
    NDJSON,
    accepts,
    api_router,
    check_media_type,
    json_response,
    query_parameters,
    read_body,
    until_stopping,
)
from shared.http.documentation import header, problem_responses
from shared.http.prefer import preferences
from shared.http.problems import InputError, Problem, content_too_large, invalid_input
from shared.http.slices import in_slices

router = api_router(tag="commands")

ARRAY_LIMIT: Final = 10_000
CHUNK: Final = 500
"""Commands that a bulk request puts into one group commit; single commands go between chunks."""
KEY_SEPARATOR: Final = "\x1f"
"""Cannot be part of a client's key, so that the keys made for the lines of a request collide with none."""

COMMAND_SCHEMA = {
    "oneOf": [model.model_json_schema() for model in AnyBulkCommand.__args__],
    "discriminator": {"propertyName": "type"},
}
RESULT_SCHEMA = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer"}, "body": {"type": "object"}, "problem": {"type": "object"}},
}
DOCUMENTATION: dict[str, Any] = {
    "response_model": None,
    "responses": problem_responses(400, 401, 403, 406, 413, 415, 422, 429, 503)
    | {
        200: {
            "description": "One result for every command, in order.",
            "headers": {
                "Event-Position": header("integer", "Log position of the last event caused (arrays only)."),
                "Event-Applied": header("boolean", "Whether reads show it already (arrays only)."),
            },
            "content": {JSON: {"schema": {"type": "array", "items": RESULT_SCHEMA}}, NDJSON: {"schema": RESULT_SCHEMA}},
        }
    },
    "openapi_extra": {
        "parameters": PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "array", "maxItems": ARRAY_LIMIT, "items": COMMAND_SCHEMA}},
                NDJSON: {"schema": COMMAND_SCHEMA},
            },
        },
    },
}


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


@dataclass(frozen=True, slots=True)
class Keys:
    """Gives each command of a request its Idempotency-Key: its own, or one made from the request's."""

    request_key: str | None

    def submission(self, index: int, given: AnyBulkCommand) -> Submission:
        """Return the command at this index (0-based) as it is submitted."""
        command = given.command()
        key = given.idempotency_key
        if key is None and self.request_key is not None:
            key = f"{self.request_key}{KEY_SEPARATOR}{index}"
        return Submission(command, keyed(key, command) if key is not None else None)


@router.post("/commands", **DOCUMENTATION)
async def post_commands(request: Request) -> Response:
    """Decide any mix of commands; one refused command refuses nothing else.

    With an Idempotency-Key, lines of `application/x-ndjson` have keys of their own, made from it and their number. What
    was sent before is answered again; another command in its place is a 422 in its line; new lines are decided.
    """
    media_type = check_media_type(request, (JSON, NDJSON))
    if not accepts(request.headers.get("accept", "*/*"), media_type):
        raise Problem(406, "not-acceptable", "The answer has the media type of the request.")
    query_parameters(request)
    key = key_of(request)
    if media_type == NDJSON:
        return await _answer_stream(request, key)
    return await _answer_array(request, key)


async def _answer_array(request: Request, key: str | None) -> Response:
    try:
        # What is to be decided is in memory, so only a few requests of a client are read at a time.
        async with service(request).turns.turn(client_of(request)):
            given, known = await _decide_array(request, key)
    except Overloaded as error:
        raise not_taken(error) from error
    position = _last_position(given)
    # After a restore no answer is remembered, but every event is found again.
    again = [answer.replayed for answer in given]
    headers = {"Idempotency-Replayed": "true"} if (known and any(again)) or (key and given and all(again)) else {}
    if position:
        headers |= await position_headers(request, position)
    return json_response(b"[" + b",".join(map(_result, given)) + b"]", headers=headers)


async def _decide_array(request: Request, key: str | None) -> tuple[list[Answer], bool]:
    """Return the answers to the commands of the body, and whether its key was bound to it before."""
    raw = await read_body(request, BATCH_LIMIT)
    # Nothing may be done of an array that is malformed at its end, and all of its values at once take too much memory:
    # so it is read to the end, and then once more.
    await _check_array(raw)
    at_work = service(request)
    known = await _claim(at_work, key, hashlib.blake2b(raw, digest_size=16).digest())
    request_commands = _Commands(at_work, client_of(request))
    given: list[Answer] = []
    pending: asyncio.Task[list[Answer]] | None = None
    async for items in _chunks(_array_items(raw, Keys(key), at_work.context)):
        # While one chunk is committed, the next one is checked.
        given += await pending if pending is not None else []
        pending = asyncio.create_task(request_commands.answer(items))
    given += await pending if pending is not None else []
    return given, known


async def _check_array(raw: bytes) -> None:
    """Raise a 400 or 413 Problem for anything but a well-formed array of at most ARRAY_LIMIT elements."""
    count = 0
    async for pieces in in_slices(strict_json.elements(raw, BODY_LIMIT)):
        count += sum(map(len, pieces))
        if count > ARRAY_LIMIT:
            raise invalid_input(InputError("", f"The array may have {ARRAY_LIMIT} commands at the most."))


def _array_items(raw: bytes, keys: Keys, context: Context) -> Iterator[Submission | Answer]:
    check = strict_json.has_escapes(raw)
    values = chain.from_iterable(strict_json.elements(raw, BODY_LIMIT))
    return (_item(index, value, keys, context, check=check) for index, value in enumerate(values))


async def _chunks(items: Iterator[Submission | Answer]) -> AsyncIterator[list[Submission | Answer]]:
    """Check commands as they are asked for, and yield CHUNK of them at once."""
    while chunk := await _checked(islice(items, CHUNK)):
        yield chunk


async def _checked(items: Iterable[Submission | Answer]) -> list[Submission | Answer]:
    return [item async for slice_ in in_slices(items) for item in slice_]


async def _answer_stream(request: Request, key: str | None) -> Response:
    known = await _claim(service(request), key, NDJSON.encode())
    return Streamed(_results(request, Keys(key)), {"Idempotency-Replayed": "true"} if known else {})


async def _results(request: Request, keys: Keys) -> AsyncIterator[bytes]:
    """Yield result lines as soon as they are there; while one chunk is committed, the next one is read and checked."""
    at_work = service(request)
    request_commands = _Commands(at_work, client_of(request))
    chunks = _line_chunks(until_stopping(request))
    coming = asyncio.ensure_future(anext(chunks, None))
    pending: asyncio.Task[list[Answer]] | None = None
    position, index = 0, 0
    try:
        while True:
            if pending is not None:
                await asyncio.wait({coming, pending}, return_when=asyncio.FIRST_COMPLETED)
            if pending is not None and pending.done():
                position = max(position, _last_position(pending.result()))
                yield _lines(pending.result())
                pending = None
            if (lines := await coming) is None:
                break
            coming = asyncio.ensure_future(anext(chunks, None))
            checking = (_line_item(number, line, keys, at_work.context) for number, line in enumerate(lines, index))
            items = await _checked(checking)
            index += len(lines)
            if pending is not None:
                position = max(position, _last_position(await pending))
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
    if (position := max(position, _last_position(last))) and not wanted.respond_async:
        await at_work.visibility.reached(position, patience(wanted))
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
    return _item(index, value, keys, context, check=strict_json.has_escapes(line))


def _item(index: int, value: object, keys: Keys, context: Context, *, check: bool) -> Submission | Answer:
    try:
        if check:
            strict_json.refuse_unstorable(value)
        return keys.submission(index, bulk_command(value, context))
    except Problem as problem:
        return answers.refusal(problem)


class _Commands:
    """The commands of one request, chunk after chunk.

    Once a chunk could not be taken, none that follows is: they may build on it, and a refusal would be remembered.
    """

    def __init__(self, at_work: Service, client: str) -> None:
        self._at_work, self._client = at_work, client
        self._failed: Answer | None = None

    async def answer(self, items: Sequence[Submission | Answer]) -> list[Answer]:
        """Return the answers in order; what was not valid is answered already."""
        submissions = [item for item in items if isinstance(item, Submission)]
        decided: list[Answer] = []
        if submissions and self._failed is None:
            try:
                decided = await self._at_work.appender.submit_many(submissions, client=self._client)
            except DatabaseUnavailable as error:
                self._failed = answers.refusal(not_taken(error))
        if self._failed is not None:
            decided = [self._failed] * len(submissions)
        remaining = iter(decided)
        return [item if isinstance(item, Answer) else next(remaining) for item in items]


async def _claim(at_work: Service, key: str | None, fingerprint: bytes) -> bool:
    """Bind the request's key to its body; return whether it was before. Raises IdempotencyKeyReused."""
    if key is None:
        return False
    async with at_work.pool.acquire() as connection:
        return await claim(connection, key, fingerprint)


def _last_position(given: Sequence[Answer]) -> int:
    return max((answer.position or 0 for answer in given), default=0)


def _lines(given: Sequence[Answer]) -> bytes:
    return b"".join(_result(answer) + b"\n" for answer in given)


def _result(answer: Answer) -> bytes:
    if not answer.body:
        return b'{"status":%d}' % answer.status
    member = b"problem" if answer.status >= 400 else b"body"  # noqa: PLR2004 - where HTTP's errors begin
    return b'{"status":%d,"%s":%s}' % (answer.status, member, answer.body)
