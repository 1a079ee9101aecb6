"""Reads the whole log, for an export."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from shared.events.envelope import RecordedEvent
from shared.runtime.database import Connection

BATCH: Final = 5_000

NEXT: Final = """
SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
"""


async def recorded_events(connection: Connection, upto: int) -> AsyncIterator[Sequence[RecordedEvent]]:
    """Yield the log from its first event up to a position, in batches.

    No transaction spans the batches: what is in the log stays as it is, and a snapshot held for as long as an export
    takes would keep the old versions of `log_head`, which every command and every read goes through.
    """
    after = 0
    while rows := await connection.fetch(NEXT, after, upto, BATCH):
        yield [RecordedEvent(**row) for row in rows]
        after = rows[-1]["position"]
