"""The relation `batch`: what every projection reads, whichever feed filled it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.runtime.database import OwnConnection

CREATE: Final = (
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS batch (
        position bigint, partition smallint, type text, user_id bigint, recorded_at timestamptz, data jsonb,
        award_id bigint, achievement_id bigint, points integer, awarded_at timestamptz, local_day date
    ) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS moves (
        old_achievements bigint, old_points bigint, total_achievements bigint, total_points bigint
    ) ON COMMIT DELETE ROWS
    """,
)
"""`moves` is written by the projection of totals for the one of differences: what each user's totals were and are."""

COLUMNS: Final = """
    position, partition, type, user_id, recorded_at, data,
    (data ->> 'award_id')::bigint AS award_id, (data ->> 'achievement_id')::bigint AS achievement_id,
    (data ->> 'points')::integer AS points, (data ->> 'awarded_at')::timestamptz AS awarded_at,
    (data ->> 'local_day')::date AS local_day
"""

SESSION: Final = {
    # A plan is made when `batch` is small and kept when it is large, or the other way round. Without these, such a plan
    # may scan a whole table for one event; look-ups by index are right for both.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    # The log is the truth: rows that a crash of the server takes back, checkpoint included, are projected again.
    "synchronous_commit": "off",
    "client_min_messages": "warning",
}


@dataclass(frozen=True, slots=True)
class Advance:
    """How a batch moves one partition's checkpoint; `kafka_offset` is the next to read, None on the log's own feed."""

    partition: int
    old: int
    new: int
    epoch: int
    kafka_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events, as the statement that fills the relation with them.

    `events` is how many there have to be: fewer mean that the source has a hole.
    """

    source: str
    arguments: Sequence[Any]
    events: int
    advances: Sequence[Advance]

    async def fill(self, connection: OwnConnection) -> None:
        """Fill the relation. Raises MissingEvents."""
        status = await connection.execute(f"INSERT INTO batch SELECT {COLUMNS} FROM {self.source}", *self.arguments)  # noqa: S608 - the sources are constants of the feeds
        filled = int(status.split()[-1])
        if filled != self.events:
            message = f"{self.events} events were expected and {filled} found, after position {self.advances[0].old}"
            raise MissingEvents(message)


class MissingEvents(Exception):
    """A gapless log has a gap, or holds events of a type or version that this code does not know."""
