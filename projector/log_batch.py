"""A range of the event store as a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from projector.batch import Advance, Held, MissingEvents, Poison, UnknownEvents, moved
from projector.relation import array_literal, fill_where, in_range, recreate_where, upcast_into_batch
from shared.runtime.database import Connection
from shared.runtime.sql import sql

MANY: Final = 100_000
"""So many events are worth a relation of their own."""
EVERYTHING: Final = 2**63 - 1
"""A position that no event passes: that of a partition which is left out of a batch."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A range of the log, `after` excluded and `upto` included, of the partitions that are held."""

    after: int
    upto: int
    held: Mapping[int, Held]
    partitions: int

    @property
    def size(self) -> int:
        """How many positions it spans."""
        return self.upto - self.after

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move: all to the end of the range, unless they are beyond it."""
        return [
            Advance(partition, held.position, max(held.position, self.upto), held.epoch)
            for partition, held in self.held.items()
        ]

    async def fill(self, connection: Connection) -> int:
        """Fill the relation; no event leaves the database but those of an older version."""
        if self.size < MANY:
            filled = await fill_where(connection, in_range(), *self.arguments())
        else:
            filled = await recreate_where(connection, in_range(*self._literals()))
        if filled != self.size:
            filled += await upcast_into_batch(connection, in_range(), *self.arguments())
        if filled != self.size and filled != await self._check(connection):
            message = f"events after position {self.after} up to {self.upto} are of a type or version unknown here"
            raise UnknownEvents(message)
        return filled

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""
        return moved(self.held, self.advances)

    def halves(self) -> "tuple[LogBatch, LogBatch]":
        """Cut the range in two."""
        middle = (self.after + self.upto) // 2
        first = LogBatch(self.after, middle, self.held, self.partitions)
        return first, LogBatch(middle, self.upto, first.held_afterwards, self.partitions)

    async def poison(self, connection: Connection) -> Poison:
        """Return the event as the log has it."""
        row = await connection.fetchrow(sql("projector.sql", "event_in_range", range=in_range()), *self.arguments())
        if row is None:
            message = f"position {self.upto} is not in the log"
            raise MissingEvents(message)
        return Poison(row["partition"], self.upto, row["user_id"], row["record"])

    async def _check(self, connection: Connection) -> int:
        # Positions are gapless, so only a range that some partition has behind it may hold fewer events than positions.
        held: int = await connection.fetchval(
            sql("projector.sql", "count_in_range", range=in_range()), *self.arguments()
        )
        whole = len(self.held) == self.partitions and all(h.position <= self.after for h in self.held.values())
        if whole and held != self.size:
            message = f"the log has {held} events after position {self.after} up to {self.upto}, not {self.size}"
            raise MissingEvents(message)
        return held

    def arguments(self) -> tuple[int, int, list[int]]:
        """Return the range as arguments of `in_range`."""
        passed = [self.held[p].position if p in self.held else EVERYTHING for p in range(self.partitions)]
        return self.after, self.upto, passed

    def _literals(self) -> tuple[str, str, str]:
        after, upto, passed = self.arguments()
        return str(after), str(upto), array_literal(passed)
