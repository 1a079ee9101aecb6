"""Watches, from the database, whether projection goes on, and says what holds a partition up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from projector.following import Following
from shared.event_store.log import checkpoints
from shared.read_models.generations import VERSION
from shared.runtime.database import Connection
from shared.runtime.settings import Settings, Transport
from shared.runtime.sql import sql
from shared.runtime.stalls import Stalls

FOLLOWED: Final = "SELECT generation FROM generations WHERE state <> 'building' AND version = $1"
PUBLISHED: Final = "SELECT topic, trouble, partition_positions FROM write_model.relay_lease"

OVERDUE_SECONDS: Final = 5.0
"""So long unpublished, events are taken from the log."""

Partition = tuple[int, int]
"""A generation and one of its partitions."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A partition's checkpoint, its last position in the log, and what the relay's lease says of its publication."""

    position: int
    last: int
    topic: str | None
    trouble: str | None
    published: int


class Watch:
    """Knows what makes no progress (`trouble`) and what goes by the log for want of Kafka (`warning`)."""

    def __init__(self, settings: Settings, following: Following) -> None:
        self._settings, self._following = settings, following
        self._stalls: Stalls[Partition] = Stalls()
        self._unpublished: Stalls[Partition] = Stalls(OVERDUE_SECONDS)
        self._rows: Mapping[Partition, _Row] = {}
        self._warnings: Mapping[Partition, str] = {}

    async def look(self, connection: Connection) -> None:
        """Note where the partitions are, and tell `laurels status` and the metrics what is wrong with them."""
        lease = await connection.fetchrow(PUBLISHED)
        followed = [row["generation"] for row in await connection.fetch(FOLLOWED, VERSION)]
        self._rows = {
            (at.generation, at.partition): _Row(
                at.position, at.last, lease["topic"], lease["trouble"], lease["partition_positions"][at.partition]
            )
            for at in await checkpoints(connection, *followed)
            if lease
        }
        self._stalls.note({key: row.position for key, row in self._rows.items() if row.position < row.last})
        self._unpublished.note({k: row.published for k, row in self._rows.items() if row.published < row.last})
        self._warnings = self._by_log() if self._settings.transport is Transport.KAFKA else {}
        causes = {**self._warnings, **{key: f"no progress: {self._why(key)}" for key in self._stalls.stalled}}
        if causes:
            generations, partitions = zip(*causes, strict=True)
            await connection.execute(
                sql("projector.sql", "note_troubles"), generations, partitions, list(causes.values())
            )

    @property
    def trouble(self) -> str | None:
        """Which partitions make no progress though there are events for them, None if all do."""
        return _together(
            {
                key: f"no progress at position {self._rows[key].position} for {seconds:.0f} s: {self._why(key)}"
                for key, seconds in self._stalls.stalled.items()
            }
        )

    @property
    def warning(self) -> str | None:
        """Which partitions are projected from the log though Kafka should bring their events, None if none is."""
        return _together(self._warnings)

    def _why(self, key: Partition) -> str:
        known = self._following.trouble or self._warnings.get(key)
        return known or self._kafka(self._rows[key]) or "the projector does not say why"

    def _by_log(self) -> Mapping[Partition, str]:
        """Return why partitions are projected from the log, of those to which Kafka does not bring their events."""
        other = {key for key, row in self._rows.items() if self._other_topic(row)}
        from_log = self._following.from_log
        keys = self._rows.keys() & (other | from_log.keys() | self._unpublished.stalled.keys())
        words = {}
        for key in sorted(keys):
            row = self._rows[key]
            by_log = key in from_log or row.position >= row.last
            what = "taken from the log" if by_log else "Kafka does not bring its events"
            words[key] = f"{what}: {self._kafka(row) or from_log.get(key) or 'the relay has published them'}"
        return words

    def _kafka(self, row: _Row) -> str | None:
        """Return what the relay's lease says about a partition that lacks events."""
        if self._settings.transport is not Transport.KAFKA:
            return None
        if self._other_topic(row):
            return f"the relay publishes to {row.topic}, and {self._settings.kafka_topic} is read here"
        if row.published < row.last:
            return row.trouble or "the relay has not published them"
        return None

    def _other_topic(self, row: _Row) -> bool:
        return row.topic not in {None, self._settings.kafka_topic}


def _together(words: Mapping[Partition, str]) -> str | None:
    """Return one sentence for all partitions that the same is said about."""
    partitions: dict[str, list[str]] = {}
    for (_, partition), what in words.items():
        partitions.setdefault(what, []).append(str(partition))
    return "; ".join(f"partition {', '.join(found)}: {what}" for what, found in partitions.items()) or None
