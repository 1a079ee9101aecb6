"""The envelope of a recorded event, and the rule that gives an event its partition."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

CATALOGUE_PARTITION = 0


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One row of the log, as it is stored and published.

    `data` is the event's JSON text in the schema version that `schema_version` names.
    """

    position: int
    event_id: UUID
    partition: int
    type: str
    schema_version: int
    user_id: int | None
    data: str
    recorded_at: datetime


def partition_of(user_id: int | None, partitions: int) -> int:
    """Return the partition (0-based) of a user's events: one user's events stay in order in one partition."""
    return CATALOGUE_PARTITION if user_id is None else user_id % partitions
