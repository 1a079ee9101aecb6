"""A batch of events: how it fills the relation `batch`, how it moves the checkpoints, and what may be wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.runtime.database import Connection


class UnknownEvents(Exception):
    """Events are of a type or version that this code does not know: a newer one has to project them."""


class UnreadableEvent(Exception):
    """An event of an older version could not be upcasted to the newest."""


class MissingEvents(Exception):
    """The gapless log has a gap: the database has lost rows."""


@dataclass(frozen=True, slots=True)
class Advance:
    """How a batch moves one partition's checkpoint; `kafka_offset` is the next to read, None on the log's own feed."""

    partition: int
    old: int
    new: int
    epoch: int
    kafka_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A partition that a projector may write: where it is, and under which epoch."""

    position: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that could not be applied: where it was, whose it is, and its bytes."""

    partition: int
    position: int | None
    user_id: int | None
    record: bytes | None
    kafka_offset: int | None = None


def moved(held: Mapping[int, Held], advances: Sequence[Advance]) -> dict[int, Held]:
    """Return where the partitions are after these advances."""
    return {**held, **{advance.partition: Held(advance.new, advance.epoch) for advance in advances}}


class Batch(Protocol):
    """Some events, and how they move the checkpoints."""

    @property
    def size(self) -> int:
        """How many positions it spans."""

    @property
    def advances(self) -> Sequence[Advance]:
        """How the checkpoints move once the batch is applied."""

    @property
    def held_afterwards(self) -> dict[int, Held]:
        """Where the partitions are once the batch is applied."""

    async def fill(self, connection: Connection) -> int:
        """Fill the relation and return the number of events. Raises UnknownEvents or MissingEvents."""

    def halves(self) -> "tuple[Batch, Batch]":
        """Return two batches that have the same effect one after the other."""

    async def poison(self, connection: Connection) -> Poison:
        """Return the one event of a batch of size 1."""
