"""A bulk request as one JSON array: it is read and checked whole before anything of it is decided."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice
from typing import Final

from fastapi import Request, Response

from command_api.answers import Answer
from command_api.group import Submission
from command_api.routes.answering import Service, client_of, not_taken, position_headers
from command_api.routes.bulk.chunks import CHUNK, Commands, Keys, bind, checked, checked_item, last_position, result
from command_api.schemas.fields import Context
from command_api.waiting import Overloaded
from shared.http import strict_json
from shared.http.bodies import BATCH_LIMIT, BODY_LIMIT, read_body
from shared.http.problems import InputError, invalid_input
from shared.http.responses import json_response
from shared.http.slices import in_slices

ARRAY_LIMIT: Final = 10_000


async def answer_array(service: Service, request: Request, key: str | None) -> Response:
    """Answer with an array of results, once all of them are there."""
    try:
        # What is to be decided is in memory, so only a few requests of a client are read at a time.
        async with service.turns.turn(client_of(request)):
            given, known = await _decide_array(service, request, key)
    except Overloaded as error:
        raise not_taken(error) from error
    position = last_position(given)
    # After a restore no answer is remembered, but every event is found again.
    again = [answer.replayed for answer in given]
    headers = {"Idempotency-Replayed": "true"} if (known and any(again)) or (key and given and all(again)) else {}
    if position:
        headers |= await position_headers(service, request, position)
    return json_response(b"[" + b",".join(map(result, given)) + b"]", headers=headers)


async def _decide_array(service: Service, request: Request, key: str | None) -> tuple[list[Answer], bool]:
    """Return the answers to the commands of the body, and whether its key was bound to it before."""
    raw = await read_body(request, BATCH_LIMIT)
    # Nothing may be done of an array that is malformed at its end, and all of its values at once take too much memory:
    # so it is read to the end, and then once more.
    await _check_array(raw)
    known = await bind(service, key, hashlib.blake2b(raw, digest_size=16).digest())
    request_commands = Commands(service, client_of(request))
    given: list[Answer] = []
    pending: asyncio.Task[list[Answer]] | None = None
    async for items in _chunks(_array_items(raw, Keys(key), service.context)):
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
    return (checked_item(index, value, keys, context, check=check) for index, value in enumerate(values))


async def _chunks(items: Iterator[Submission | Answer]) -> AsyncIterator[list[Submission | Answer]]:
    """Check commands as they are asked for, and yield CHUNK of them at once."""
    while chunk := await checked(islice(items, CHUNK)):
        yield chunk
