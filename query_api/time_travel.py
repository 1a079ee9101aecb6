"""Going back in time: which awards count (`as_of`), and what had been recorded by then (`known_at`)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from query_api.answering import patience, service, wait_for
from query_api.reading import Reading
from shared.domain.errors import InvalidInput
from shared.domain.moments import moment
from shared.event_store.log import InTheFuture, position_at, recorded_at
from shared.http.documentation import LAST_NUMBER
from shared.http.problems import Problem, unavailable
from shared.runtime.database import Pool

NAMES: Final = ("as_of", "known_at")
EVERYTHING: Final = 2**63 - 1
"""A position that no event passes."""
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Then:
    """A moment to answer for: events up to `position`, awards up to `as_of` (None for all), `now` as it was."""

    position: int
    as_of: datetime | None
    now: datetime


async def asked_for(request: Request, given: Mapping[str, str]) -> Then | None:
    """Return the moment that the parameters name, None for the present, once the read models have reached it.

    Raises InvalidInput, or a 503 Problem when they do not reach it in time.
    """
    as_of = _timestamp("/as_of", given["as_of"]) if "as_of" in given else None
    if "known_at" not in given:
        return Then(EVERYTHING, as_of, as_of) if as_of else None
    pool, text = service(request).reader.pool, given["known_at"]
    if text.isascii() and text.isdigit():
        position = _position(text)
        await wait_for(request, position, "known_at")
        return Then(position, as_of, as_of or await _recorded_at(pool, position))
    known_at = _timestamp("/known_at", text)
    position = await _position_at(request, pool, known_at)
    await wait_for(request, position, "known_at")
    return Then(position, as_of, as_of or known_at)


async def recompute(request: Request, then: Then, query: str, *arguments: object) -> Reading:
    """Ask one of the questions about the past. Raises a 503 Problem when it takes too long."""
    reading = await service(request).reader.recompute(query, then.position, then.as_of, *arguments)
    # After a crash of the server the read models may be behind what they were.
    if then.position != EVERYTHING and reading.position < then.position:
        raise _behind()
    return reading


def _timestamp(pointer: str, text: str) -> datetime:
    try:
        return moment(text)
    except ValueError:
        alternative = "a log position or " if pointer == "/known_at" else ""
        raise InvalidInput(
            pointer, f"This has to be {alternative}an RFC 3339 timestamp such as 2026-01-31T12:00:00Z."
        ) from None


def _position(text: str) -> int:
    if len(text) > len(str(LAST_NUMBER)) or int(text) > LAST_NUMBER:
        raise InvalidInput("/known_at", f"A log position is an integer from 0 to {LAST_NUMBER}.")
    return int(text)


async def _position_at(request: Request, pool: Pool, known_at: datetime) -> int:
    """Return the last position recorded by a moment of the past, once no other can be recorded before it."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience(request)
    while True:
        async with pool.acquire() as connection:
            try:
                position = await position_at(connection, known_at)
            except InTheFuture:
                future = "This lies in the future, and what will be known then is not known yet."
                raise InvalidInput("/known_at", future) from None
        if position is not None:
            return position
        if loop.time() > ends:
            raise _behind()
        await asyncio.sleep(POLL_SECONDS)


async def _recorded_at(pool: Pool, position: int) -> datetime:
    async with pool.acquire() as connection:
        return await recorded_at(connection, position) or datetime.now(UTC)


def _behind() -> Problem:
    return unavailable("The read models have not reached known_at.", code="behind")
