"""Going back in time: which awards count (`as_of`), and what had been recorded by then (`known_at`)."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from query_api.answering import Queries, timeout_of, wait_for_position
from query_api.parameters import AS_OF, KNOWN_AT
from query_api.reader import Reader, Reading
from shared.domain.errors import InvalidInput
from shared.event_store.log import InTheFuture, position_at, recorded_at
from shared.http.parameters import Given
from shared.http.problems import Problem, unavailable
from shared.runtime.database import ReadPool

EVERYTHING: Final = 2**63 - 1
"""A position that no event passes."""
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Then:
    """A moment to answer for: events up to `position`, awards up to `as_of` (None for all), `now` as it was."""

    position: int
    as_of: datetime | None
    now: datetime


async def asked_for(queries: Queries, request: Request, given: Given) -> Then | None:
    """Return the moment that the parameters name, None for the present, once the read models have reached it.

    Raises InvalidInput, or a 503 Problem when they do not reach it in time.
    """
    as_of, known_at = given[AS_OF], given[KNOWN_AT]
    if known_at is None:
        return Then(EVERYTHING, as_of, as_of) if as_of else None
    if isinstance(known_at, int):
        await wait_for_position(queries, request, known_at, KNOWN_AT.name)
        return Then(known_at, as_of, as_of or await _recorded_at(queries.pool, known_at))
    position = await _position_at(queries.pool, known_at, timeout_of(request))
    await wait_for_position(queries, request, position, KNOWN_AT.name)
    return Then(position, as_of, as_of or known_at)


async def recompute(reader: Reader, then: Then, query: str, *arguments: object) -> Reading:
    """Ask one of the questions about the past. Raises a 503 Problem when it takes too long."""
    reading = await reader.recompute(query, then.position, then.as_of, *arguments)
    # After a crash of the server the read models may be behind what they were.
    if then.position != EVERYTHING and reading.position < then.position:
        raise _behind()
    return reading


async def _position_at(pool: ReadPool, known_at: datetime, timeout: float) -> int:  # noqa: ASYNC109 - a deadline of its own
    """Return the last position recorded by a moment of the past, once no other can be recorded before it."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout
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


async def _recorded_at(pool: ReadPool, position: int) -> datetime:
    async with pool.acquire() as connection:
        return await recorded_at(connection, position) or datetime.now(UTC)


def _behind() -> Problem:
    return unavailable("The read models have not reached known_at.", code="behind")
