"""Which partitions have to be read from the log, because neither Kafka nor another projector brings their events.

What is known here outlives consumers and connections: however often they start again, the time goes on.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from shared.runtime.stalls import Stalls

logger = logging.getLogger(__name__)

OVERDUE_SECONDS: Final = 5.0
"""How long Kafka may bring nothing of a partition that is behind the log before the log itself fills in."""

ABANDONED_SECONDS: Final = 8.0
"""How long another projector's partition may stand still behind the log before this one takes it over."""

RECENT_SECONDS: Final = 30.0
"""So long after it was filled from the log, a partition to which nothing has happened since is in no trouble."""


@dataclass(frozen=True, slots=True)
class _Filled:
    why: str
    at: float


class Lateness:
    """Remembers since when partitions are late, by the positions that it is told again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._brought: dict[int, int] = {}
        self._overdue: Stalls[int] = Stalls(OVERDUE_SECONDS, clock)
        self._abandoned: Stalls[int] = Stalls(ABANDONED_SECONDS, clock)
        self._filled: dict[int, _Filled] = {}

    def overdue(self, held: Mapping[int, int], in_log: Sequence[int]) -> AbstractSet[int]:
        """Return for which of the partitions, given with their positions, Kafka has brought nothing for too long."""
        brought = {partition: self._brought.setdefault(partition, position) for partition, position in held.items()}
        self._overdue.note({partition: at for partition, at in brought.items() if at < in_log[partition]})
        return self._overdue.stalled.keys()

    def abandoned(self, others: Mapping[int, int], in_log: Sequence[int]) -> AbstractSet[int]:
        """Return which of the others' partitions stand still, though they are behind the log."""
        self._abandoned.note({partition: at for partition, at in others.items() if at < in_log[partition]})
        return self._abandoned.stalled.keys()

    def brought(self, partition: int, position: int) -> None:
        """Note that Kafka gave an event of a partition, whether the log had given it before or not."""
        self._brought[partition] = max(position, self._brought.get(partition, 0))
        if self._filled.pop(partition, None):
            logger.info("partition %d is read from Kafka again", partition)

    def filled(self, partition: int, why: str) -> None:
        """Note that the log gave events of a partition."""
        if self.from_log.get(partition) != why:
            logger.warning("partition %d is filled from the log: %s", partition, why)
        self._filled[partition] = _Filled(why, self._clock())

    def forget(self, partition: int) -> None:
        """Start again with a partition that comes from another projector, or went to one."""
        self._brought.pop(partition, None)
        self._filled.pop(partition, None)

    @property
    def from_log(self) -> Mapping[int, str]:
        """The partitions that the log gave events of lately, and why."""
        since = self._clock() - RECENT_SECONDS
        return {partition: filled.why for partition, filled in self._filled.items() if filled.at > since}
