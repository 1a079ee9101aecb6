"""Records of Kafka as a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projector.batch import Advance, Held, Poison, UnknownEvents, moved
from projector.relation import fill_from_rows
from shared.events.cloudevents import Consumed
from shared.runtime.database import Connection


@dataclass(frozen=True, slots=True)
class Record:
    """A consumed event and the offset after it."""

    partition: int
    event: Consumed
    next_offset: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of Kafka, in order within each partition, all after what is held."""

    records: Sequence[Record]
    held: Mapping[int, Held]

    @property
    def size(self) -> int:
        """How many records it has."""
        return len(self.records)

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move: each to its partition's last record."""
        last = {record.partition: record for record in self.records}
        return [
            Advance(p, self.held[p].position, record.event.position, self.held[p].epoch, record.next_offset)
            for p, record in last.items()
        ]

    async def fill(self, connection: Connection) -> int:
        """Fill the relation; the values are decoded by the database, all at once."""
        rows = [
            (e.position, r.partition, e.type, e.schema_version, e.user_id, e.recorded_at, e.data)
            for r in self.records
            for e in (r.event,)
        ]
        filled = await fill_from_rows(connection, rows)
        if filled != self.size:
            message = "records are of a type or version unknown here"
            raise UnknownEvents(message)
        return filled

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""
        return moved(self.held, self.advances)

    def halves(self) -> "tuple[RecordBatch, RecordBatch]":
        """Cut the records in two."""
        middle = len(self.records) // 2
        first = RecordBatch(self.records[:middle], self.held)
        return first, RecordBatch(self.records[middle:], first.held_afterwards)

    async def poison(self, _connection: Connection) -> Poison:
        """Return the record as it was consumed."""
        (record,) = self.records
        event = record.event
        return Poison(record.partition, event.position, event.user_id, event.data.encode(), record.next_offset - 1)
