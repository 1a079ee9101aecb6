"""`python -m bench.scaling` asks a model what is beyond one machine: log shards, partitions, projectors.

Nothing is measured here: what batches cost was, on one machine, and is written down below.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from pathlib import Path
from typing import Final

from bench.measures import Curve
from bench.pipeline import WARM_UP, Outcome, Phase, Shard, Simulation, Stage, Where
from bench.plots import plot

# Processor times of awards: the appender and its session in groups of 1 to 1,000; the relay and a projector over
# 88,000 events in Kafka; the projections' statements in batches of 1 to 10,000, up to the lock of the levels and from
# there on. The machine was busy, so all are scaled by what gives the statements the 18.25 µs an event that the line
# `projector` finds on a quiet one. To these come a flush to disk, 2 ms, and a topic's acknowledgement, 10 ms.
APPEND: Final = Stage((Phase(Where.OWN, 2.5e-3, 14e-6), Phase(Where.SERVER, 0.0, 6.5e-6)), 1_000)
RELAY: Final = Stage((Phase(Where.OWN, 10e-3, 13e-6),), 2_000)
BESIDE: Final = (Phase(Where.OWN, 0.0, 9e-6), Phase(Where.SERVER, 1e-3, 17.6e-6))
TOGETHER: Final = Stage((*BESIDE, Phase(Where.LEVELS, 1e-3, 0.5e-6)), 10_000)
"""Many users stand at the same level: the bench's data, 200 levels."""
APART: Final = Stage((*BESIDE, Phase(Where.LEVELS, 1e-3, 30e-6)), 10_000)
"""Each user stands at a level of their own: every move makes a level, ends one, and changes gaps."""
AT_ONCE: Final = Stage((Phase(Where.OWN, 1e-6, 0.0),), 10_000_000)
"""What costs next to nothing: a topic that is full already."""

# Assumptions. The user of rank r has events in proportion to r ** -skew: at 0.6 the first has 0.06 % of all.
USERS: Final = 10_000_000
PLACED: Final = 20_000
"""So many users are placed one by one; the others even out."""

EVENTS_A_SECOND: Final = 1_000_000
SECONDS: Final = 12.0
FAILS_AT: Final = 5.0
LONG: Final = 120.0
"""Seconds for what takes its time: to catch up, or to fold large batches one after another."""
KEEPS_UP: Final = 0.99
"""Who applies this share of what arrives keeps up; the rest is on its way."""
MORE: Final = 1.05
"""The smallest setup keeps up with so much more, too: at a ceiling, queues only shrink by chance."""
LAG: Final = 1.0
"""Seconds from a command to the rows that the 99th percentile may take."""
SEED: Final = 1
RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """So many shards that are alike, and what is asked of all together."""

    rate: float = EVENTS_A_SECOND
    shards: int = 1
    partitions: int = 8
    skew: float = 0.6
    shard: Shard

    def hottest(self, seconds: float = SECONDS, fails_at: float | None = None) -> Outcome:
        """Simulate the shard that has most to do."""
        return Simulation(self.shard, max(self._rates(), key=sum), SEED).run(seconds, fails_at)

    def all(self) -> list[Outcome]:
        """Simulate every shard."""
        return [Simulation(self.shard, rates, SEED + n).run(SECONDS) for n, rates in enumerate(self._rates())]

    def _rates(self) -> list[list[float]]:
        even = [self.rate * share for share in shares(self.shards * self.partitions, self.skew, SEED)]
        return [even[first : first + self.partitions] for first in range(0, len(even), self.partitions)]


def shares(partitions: int, skew: float, seed: int) -> list[float]:
    """Return what share of all events each partition has when users are placed by chance."""
    chance = random.Random(seed)
    weights = [0.0] * partitions
    for rank in range(1, PLACED + 1):
        weights[chance.randrange(partitions)] += rank**-skew
    others = (USERS ** (1 - skew) - PLACED ** (1 - skew)) / (1 - skew)
    whole = sum(weights) + others
    return [(weight + others / partitions) / whole for weight in weights]


def shard(projectors: int, fold: Stage = TOGETHER, *, cores: int = 4) -> Shard:
    """Return a shard as Laurels has it."""
    return Shard(append=APPEND, relay=RELAY, fold=fold, projectors=projectors, cores=cores)


def lag(outcomes: Sequence[Outcome], share: float) -> float:
    """Return the percentile of all lags, in seconds."""
    lags = sorted(lag for outcome in outcomes for lag in outcome.lags)
    left = share * sum(events for _, events in lags)
    for seconds, events in lags:
        left -= events
        if left <= 0:
            return seconds
    return 0.0


def sustained(outcomes: Sequence[Outcome]) -> float:
    """Return what share of the events that arrive are applied."""
    arriving = sum(outcome.arrived / outcome.seconds for outcome in outcomes)
    return min(1.0, sum(outcome.rate for outcome in outcomes) / arriving)


def keeps_up(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether the rows keep up with what arrives, and are not late."""
    return sustained(outcomes) >= KEEPS_UP and lag(outcomes, 0.99) <= LAG


def smallest(fold: Stage = TOGETHER) -> Setup:
    """Return the setup with the fewest shards, then the fewest projectors, that keeps up."""
    setups = (
        Setup(shards=shards, shard=shard(projectors, fold))
        for shards in count(ceil(EVENTS_A_SECOND / APPEND.ceiling))
        for projectors in (1, 2, 4)
    )
    return next(setup for setup in setups if keeps_up([replace(setup, rate=MORE * setup.rate).hottest()]))


def one_server() -> Curve:
    """Return what more and more projectors of one PostgreSQL make of a full topic."""
    projectors = (1, 2, 4, 8, 16, 32)
    kinds = {
        "2 cores": (2, TOGETHER),
        "4 cores": (4, TOGETHER),
        "16 cores": (16, TOGETHER),
        "16 cores, each user at a level of their own": (16, APART),
    }
    series = {
        name: [_from_a_full_topic(shard(number, fold, cores=cores)) for number in projectors]
        for name, (cores, fold) in kinds.items()
    }
    return Curve("scaling", "projectors, 32 partitions", "events/s", projectors, series, logarithmic=False)


def _from_a_full_topic(one: Shard) -> float:
    return Setup(partitions=32, shard=replace(one, append=AT_ONCE, relay=AT_ONCE)).hottest(LONG).rate


def rows_of_one_server(curve: Curve) -> Iterator[tuple[str, ...]]:
    """Yield the table of `one_server`."""
    yield ("one PostgreSQL, a full topic", *(f"{size:.0f}" for size in curve.sizes))
    for name, rates in curve.series.items():
        yield (name, *(f"{round(rate, -3):,.0f}" for rate in rates))


def rows_of_many() -> Iterator[tuple[str, ...]]:
    """Yield the table of setups that are offered a million events a second."""
    found = smallest()
    room = Setup(shards=32, shard=shard(2))
    apart = smallest(APART)
    setups = {
        "too few shards": Setup(shards=16, shard=shard(2)),
        "too few projectors": replace(found, shard=shard(1)),
        "**the smallest**": found,
        "more projectors": replace(found, shard=shard(8)),
        "more projectors than partitions": replace(found, partitions=1, shard=shard(2)),
        "with room": room,
        "skew 0.8": replace(room, skew=0.8),
        "own levels": replace(room, shard=shard(2, APART)),
        "own levels, the smallest": apart,
    }
    parts = ("head", "relay", "cores", "levels", "projectors")
    yield ("", "shards", "partitions", "projectors", "events/s applied", "p50", "p99", *parts)
    for name, setup in setups.items():
        outcomes = setup.all()
        yield (
            name,
            f"{setup.shards}",
            f"{setup.shards * setup.partitions}",
            f"{setup.shards * setup.shard.projectors}",
            f"{round(EVENTS_A_SECOND * sustained(outcomes), -3):,.0f}",
            *(f"{1000 * lag(outcomes, share):,.0f} ms" if keeps_up(outcomes) else "grows" for share in (0.5, 0.99)),
            *(f"{max(outcome.load[part] for outcome in outcomes):.0%}" for part in parts),
        )


def rows_of_failures() -> Iterator[tuple[str, ...]]:
    """Yield what happens in the shard that has most to do when one of its projectors ends."""
    yield ("projectors of the shard", "longest lag", "all below a second again after")
    for projectors in (1, 2, 3, 4):
        setup = Setup(shards=32, shard=shard(projectors))
        outcome = setup.hottest(LONG, FAILS_AT)
        late = [moment for moment, chunk in outcome.seen if moment > WARM_UP and moment - chunk.since > LAG]
        name = f"{projectors}" if projectors > 1 else "1, replaced"
        yield name, f"{lag([outcome], 1.0):.1f} s", f"{max(late) - FAILS_AT:.0f} s"


def main() -> None:
    """Print the tables and draw the picture."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    curve = one_server()
    plot(RESULTS, curve)
    for rows in (rows_of_one_server(curve), rows_of_many(), rows_of_failures()):
        for number, cells in enumerate(rows):
            print(f"| {' | '.join(cells)} |", flush=True)
            if number == 0:
                print("| --- " * len(cells) + "|")
        print()


if __name__ == "__main__":
    main()
