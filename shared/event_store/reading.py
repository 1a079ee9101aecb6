"""Reads events of the log, as they were recorded."""

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from shared.events.envelope import RecordedEvent
from shared.runtime.database import ReadSession, Record
from shared.runtime.sql import sql

BATCH: Final = 5_000
"""Events that are read at once for an export."""
LAST_POSITION: Final = 2**63 - 1


async def events_after(
    connection: ReadSession, after: int, limit: int, *, upto: int = LAST_POSITION
) -> list[RecordedEvent]:
    """Return the next events after a position, in order, at most `limit`."""
    return _recorded(await connection.fetch(sql(__package__, "events_after"), after, upto, limit))


async def events_at(connection: ReadSession, positions: Sequence[int]) -> list[RecordedEvent]:
    """Return the events at these positions, in order, of those that the log has."""
    return _recorded(await connection.fetch(sql(__package__, "events_at"), positions))


async def events_with_ids(connection: ReadSession, event_ids: Sequence[UUID]) -> list[RecordedEvent]:
    """Return the events with these ids, of those that the log has."""
    return _recorded(await connection.fetch(sql(__package__, "events_with_ids"), event_ids))


async def all_events(connection: ReadSession, upto: int) -> AsyncIterator[Sequence[RecordedEvent]]:
    """Yield the log from its first event up to a position, in batches.

    No transaction spans the batches: recorded events do not change, and a snapshot held for as long as an export takes
    would keep the old versions of `log_head`, which every command and every read goes through.
    """
    after = 0
    while batch := await events_after(connection, after, BATCH, upto=upto):
        yield batch
        after = batch[-1].position


async def false_claims(
    connection: ReadSession,
    positions: Sequence[int],
    partitions: Sequence[int],
    user_ids: Sequence[int | None],
    event_ids: Sequence[UUID],
) -> list[Record]:
    """Return which claims about events the log contradicts: the claim's index as `number`.

    `known` says whether the log has an event at the position, `same` whether it is the one of that id.
    """
    return await connection.fetch(sql(__package__, "false_claims"), positions, partitions, user_ids, event_ids)


def _recorded(rows: Sequence[Record]) -> list[RecordedEvent]:
    return [RecordedEvent(**row) for row in rows]
