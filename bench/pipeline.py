"""A model of the pipeline: batches that go from commands to rows, at what they cost, in simulated time.

A shard is a log with all that follows from it. Its appender takes groups under the lock of the head (ADR 2), its relay
publishes them (ADR 1), and each projector folds what its partitions bring (ADR 4). Whatever works in the shard's
PostgreSQL shares its cores, and one projector at a time holds the levels (ADR 5). Events are counted, not made.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

TICK: Final = 0.01
"""Seconds between two arrivals of commands."""
BURST: Final = 0.5
"""An arrival has between so much less and so much more than the mean."""
WARM_UP: Final = 2.0
"""Seconds before anything counts."""
SESSION_TIMEOUT: Final = 10.0
"""After so many seconds a dead projector is missed: the default of LAURELS_KAFKA_SESSION_TIMEOUT_MS."""
REJOIN: Final = SESSION_TIMEOUT / 4
"""For so long all projectors of a shard wait for each other then: the interval of heartbeats in feeds/kafka.py."""


class Where(Enum):
    """What a phase needs: a processor of the worker's own, a core of PostgreSQL, or that and the lock of the levels."""

    OWN = auto()
    SERVER = auto()
    LEVELS = auto()


class Phase(NamedTuple):
    """What a batch costs: seconds for itself, and for each of its events."""

    where: Where
    fixed: float
    each: float


class Stage(NamedTuple):
    """What a worker does with a batch, and how many events it takes at the most."""

    phases: Sequence[Phase]
    limit: int

    @property
    def ceiling(self) -> float:
        """Events a second that one worker can do, in full batches and with nobody in its way."""
        return self.limit / sum(phase.fixed + phase.each * self.limit for phase in self.phases)


class Chunk(NamedTuple):
    """Events of one partition that arrived at the same time."""

    since: float
    partition: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Who works on a log."""

    append: Stage
    relay: Stage
    fold: Stage
    projectors: int
    cores: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the events, and how much of what each part can do was asked of it.

    What was `seen` are pairs of a moment and the chunk that came into the rows then.
    """

    arrived: int
    backlog: int
    seen: Sequence[tuple[float, Chunk]]
    seconds: float
    load: Mapping[str, float]

    @property
    def applied(self) -> int:
        """How many events are in the rows."""
        return events_in(chunk for _, chunk in self.seen)

    @property
    def rate(self) -> float:
        """Events a second that came into the rows after the warm-up."""
        return sum(events for _, events in self.lags) / (self.seconds - WARM_UP)

    @property
    def lags(self) -> list[tuple[float, int]]:
        """Seconds from arrival to rows, and of how many events, after the warm-up."""
        return [(moment - chunk.since, chunk.events) for moment, chunk in self.seen if moment > WARM_UP]


@dataclass(slots=True, eq=False)
class Worker:
    """An appender, a relay or a projector: takes a batch, goes through the phases with it, and puts it on."""

    stage: Stage
    put: Callable[[Sequence[Chunk]], None]
    inbox: deque[Chunk] = field(default_factory=deque)
    batch: list[Chunk] = field(default_factory=list)
    phase: int = 0
    left: float = 0.0
    done: int = 0

    @property
    def where(self) -> Where:
        """What it needs now."""
        return self.stage.phases[self.phase].where

    def take(self) -> None:
        """Take a batch from the inbox."""
        room = self.stage.limit
        while self.inbox and room:
            chunk = self.inbox.popleft()
            if chunk.events > room:
                self.inbox.appendleft(chunk._replace(events=chunk.events - room))
                chunk = chunk._replace(events=room)
            self.batch.append(chunk)
            room -= chunk.events

    def enter(self, phase: int) -> None:
        """Begin with a phase of the batch."""
        _, fixed, each = self.stage.phases[phase]
        self.phase, self.left = phase, fixed + each * events_in(self.batch)

    def finish(self) -> None:
        """Put the batch on."""
        self.done += events_in(self.batch)
        self.put(self.batch)
        self.batch = []

    def give_back(self) -> None:
        """Undo the batch, as the end of a session does; whoever gets it next has it sorted."""
        self.inbox.extend(self.batch)
        self.batch = []


class Simulation:
    """One shard over time, given the events a second of each partition."""

    def __init__(self, shard: Shard, rates: Sequence[float], seed: int) -> None:
        self._shard, self._rates, self._chance = shard, rates, random.Random(seed)
        self._relay = Worker(shard.relay, self._publish)
        self._appender = Worker(shard.append, self._relay.inbox.extend)
        self._projectors = [Worker(shard.fold, self._apply) for _ in range(shard.projectors)]
        self._owners: list[Worker] = []
        self._turns: deque[Worker] = deque()
        self._rejoining = False
        self._now = self._served = self._held = 0.0
        self._arrived = 0
        self._seen: list[tuple[float, Chunk]] = []
        self._assign()

    def run(self, seconds: float, fails_at: float | None = None) -> Outcome:
        """Simulate so many seconds; the first projector may end in between, and its partitions move."""
        moments: list[tuple[float, Callable[[], None]]] = [
            (number * TICK, self._arrive) for number in range(round(seconds / TICK))
        ]
        if fails_at is not None:
            missed = fails_at + SESSION_TIMEOUT
            moments += [(fails_at, self._fail), (missed, self._rejoin), (missed + REJOIN, self._assign)]
        for moment, happen in sorted(moments, key=lambda entry: entry[0]):
            if moment < seconds:
                self._work_until(moment)
                happen()
        self._work_until(seconds)
        return self._outcome(seconds)

    def _arrive(self) -> None:
        span = TICK * self._chance.uniform(1 - BURST, 1 + BURST)
        for partition, rate in enumerate(self._rates):
            if events := int(rate * span + self._chance.random()):
                self._arrived += events
                self._appender.inbox.append(Chunk(self._now, partition, events))

    def _publish(self, batch: Sequence[Chunk]) -> None:
        for chunk in batch:
            self._owners[chunk.partition].inbox.append(chunk)

    def _apply(self, batch: Sequence[Chunk]) -> None:
        self._seen += [(self._now, chunk) for chunk in batch]

    def _fail(self) -> None:
        self._give_back(self._projectors.pop(0))

    def _rejoin(self) -> None:
        """Hold up all projectors; what they were at is refused by its epochs."""
        self._rejoining = True
        for projector in self._projectors:
            self._give_back(projector)
        # Somebody starts another in the place of one that was alone.
        self._projectors = self._projectors or [Worker(self._shard.fold, self._apply)]

    def _give_back(self, projector: Worker) -> None:
        projector.give_back()
        if projector in self._turns:
            self._turns.remove(projector)

    def _assign(self) -> None:
        """Share the partitions among the projectors, and with them what came for each meanwhile."""
        before = set(self._owners)
        waiting = sorted(chunk for owner in before for chunk in owner.inbox)
        for owner in before:
            owner.inbox.clear()
        count = len(self._projectors)
        self._owners = [self._projectors[partition % count] for partition in range(len(self._rates))]
        self._publish(waiting)
        self._rejoining = False

    def _work_until(self, moment: float) -> None:
        while self._now < moment:
            self._take()
            workers = (worker for worker in (self._appender, self._relay, *self._projectors) if worker.batch)
            running = [w for w in workers if w.where is not Where.LEVELS or w is self._turns[0]]
            served = sum(worker.where is not Where.OWN for worker in running)
            slowed = max(1.0, served / self._shard.cores)
            paces = [1.0 if worker.where is Where.OWN else 1 / slowed for worker in running]
            ends = [self._now + worker.left / pace for worker, pace in zip(running, paces, strict=True)]
            until = min([moment, *ends])
            step, self._now = until - self._now, until
            self._served += step * served / slowed
            self._held += step * bool(self._turns)
            for worker, pace, end in zip(running, paces, ends, strict=True):
                worker.left -= step * pace
                if end <= until:
                    self._end_phase(worker)

    def _take(self) -> None:
        for worker in (self._appender, self._relay, *([] if self._rejoining else self._projectors)):
            if worker.inbox and not worker.batch:
                worker.take()
                self._enter(worker, 0)

    def _enter(self, worker: Worker, phase: int) -> None:
        worker.enter(phase)
        if worker.where is Where.LEVELS:
            self._turns.append(worker)

    def _end_phase(self, worker: Worker) -> None:
        if worker.where is Where.LEVELS:
            self._turns.popleft()
        if worker.phase + 1 < len(worker.stage.phases):
            self._enter(worker, worker.phase + 1)
        else:
            worker.finish()

    def _outcome(self, seconds: float) -> Outcome:
        workers = {self._appender, self._relay, *self._projectors, *self._owners}
        asked = {
            "head": self._appender.done / self._shard.append.ceiling,
            "relay": self._relay.done / self._shard.relay.ceiling,
            "cores": self._served / self._shard.cores,
            "levels": self._held,
            "projectors": max(worker.done for worker in self._owners) / self._shard.fold.ceiling,
        }
        return Outcome(
            arrived=self._arrived,
            backlog=sum(events_in(worker.inbox) + events_in(worker.batch) for worker in workers),
            seen=self._seen,
            seconds=seconds,
            load={name: busy / seconds for name, busy in asked.items()},
        )


def events_in(chunks: Iterable[Chunk]) -> int:
    """Return how many events these are."""
    return sum(chunk.events for chunk in chunks)
