"""The model of what is beyond one machine: it loses nothing, and is no quicker than what it is made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import scaling
from bench.pipeline import REJOIN, SESSION_TIMEOUT, Chunk, Outcome, Phase, Shard, Simulation, Stage, Where
from bench.scaling import APART, APPEND, AT_ONCE, RELAY, TOGETHER, Setup, shard, shares

BACKLOG = replace(shard(1), append=AT_ONCE, relay=AT_ONCE, cores=64)
"""A topic that is full already, and a server that is no obstacle."""
FLOOD = 400_000.0


def simulate(
    given: Shard, rates: Sequence[float], seconds: float = 6.0, fails_at: float | None = None, seed: int = 1
) -> Outcome:
    return Simulation(given, rates, seed).run(seconds, fails_at)


@settings(max_examples=30, deadline=None)
@given(
    rates=st.lists(st.floats(0, 30_000), min_size=1, max_size=6),
    projectors=st.integers(1, 4),
    cores=st.integers(1, 4),
    fold=st.sampled_from([TOGETHER, APART]),
    seconds=st.floats(0.1, 20),
    fails_at=st.none() | st.floats(0, 5),
    seed=st.integers(0, 100),
)
def test_no_event_is_lost_or_doubled(  # noqa: PLR0913 - each is a dimension of the input
    *,
    rates: list[float],
    projectors: int,
    cores: int,
    fold: Stage,
    seconds: float,
    fails_at: float | None,
    seed: int,
) -> None:
    """At any moment, what has arrived is in the rows or still on its way, and each partition keeps its order."""
    outcome = simulate(shard(projectors, fold, cores=cores), rates, seconds, fails_at, seed)
    seen = defaultdict(list)
    for moment, chunk in outcome.seen:
        assert chunk.since < moment <= seconds
        seen[chunk.partition].append(chunk.since)

    assert outcome.arrived == outcome.applied + outcome.backlog
    assert all(order == sorted(order) for order in seen.values())


def test_what_arrives_is_what_is_asked_for() -> None:
    """Bursts even out: the mean is the rate that was given, for each partition."""
    outcome = simulate(shard(2), [8_000.0, 2_000.0], seconds=60.0)
    events = [sum(chunk.events for _, chunk in outcome.seen if chunk.partition == partition) for partition in (0, 1)]

    assert 600_000 == pytest.approx(outcome.arrived, rel=0.02)
    assert 4 == pytest.approx(events[0] / events[1], rel=0.01)


@pytest.mark.parametrize(
    ("given", "ceiling"),
    [
        (shard(4), APPEND.ceiling),
        (replace(shard(4), append=AT_ONCE), RELAY.ceiling),
        (BACKLOG, TOGETHER.ceiling),
        (replace(BACKLOG, projectors=3), 3 * TOGETHER.ceiling),
        (replace(BACKLOG, projectors=4, cores=1), 10_000 / (2.1e-3 + 10_000 * 18.1e-6)),
        (replace(BACKLOG, projectors=4, fold=APART), 10_000 / (1e-3 + 10_000 * 30e-6)),
    ],
    ids=["head", "relay", "projector", "projectors", "cores", "levels"],
)
def test_each_part_has_its_ceiling(given: Shard, ceiling: float) -> None:
    """With more than enough to do, the rate comes near to what the narrowest part can do, and never above."""
    outcome = simulate(given, [FLOOD / 6] * 6, seconds=20.0)
    # A batch may end right after the warm-up that began before it.
    batch = given.projectors * given.fold.limit / 18.0

    assert 0.95 * ceiling < outcome.rate < ceiling + batch


def test_projectors_help_up_to_the_number_of_partitions() -> None:
    """A partition is folded by one projector at a time; who has none does nothing."""
    two, three, four, eight = (
        simulate(replace(BACKLOG, projectors=number), [FLOOD / 4] * 4).rate for number in (2, 3, 4, 8)
    )

    assert 1.9 * two < four
    assert two < three < four
    assert four == eight


def test_a_projector_waits_while_another_has_the_levels() -> None:
    """Two that need the levels all the time are no quicker than one; two that never need them are twice as quick."""
    needs = Stage((Phase(Where.LEVELS, 0.0, 1e-4),), 1_000)
    never = Stage((Phase(Where.SERVER, 0.0, 1e-4),), 1_000)
    rates = {
        (fold, number): simulate(replace(BACKLOG, fold=fold, projectors=number), [50_000.0] * 2).rate
        for fold in (needs, never)
        for number in (1, 2)
    }

    assert rates[needs, 2] == pytest.approx(rates[needs, 1], rel=0.03)
    assert rates[never, 2] == pytest.approx(2 * rates[never, 1], rel=0.03)


def test_a_seed_says_everything() -> None:
    """The same seed gives the same outcome, another one another."""
    once, again, other = (simulate(shard(2), [9_000.0, 20_000.0], 14.0, 1.0, seed) for seed in (7, 7, 8))

    assert once == again
    assert once.seen != other.seen


def test_what_a_dead_projector_had_waits_until_it_is_missed() -> None:
    """Its partitions stand still until others have them, the others' only while those agree; then all catch up."""
    missed, agreed = 5.0 + SESSION_TIMEOUT, 5.0 + SESSION_TIMEOUT + REJOIN
    # Each always has a batch under way.
    slow = Stage((Phase(Where.SERVER, 0.2, 0.0),), 10_000)
    outcome = simulate(shard(3, slow), [5_000.0] * 3, seconds=30.0, fails_at=5.0)
    meanwhile = {chunk.partition for moment, chunk in outcome.seen if 5.0 < moment <= missed}
    latest = max(moment - chunk.since for moment, chunk in outcome.seen if chunk.partition == 0)

    assert {1, 2} == meanwhile
    assert not [moment for moment, _ in outcome.seen if missed < moment <= agreed]
    assert SESSION_TIMEOUT + REJOIN < latest < SESSION_TIMEOUT + REJOIN + 1.0
    assert all(moment - chunk.since < 0.5 for moment, chunk in outcome.seen if moment > 25.0)
    assert outcome.arrived == outcome.applied + outcome.backlog


def test_one_that_was_alone_is_replaced() -> None:
    """A shard with a single projector goes on once there is another."""
    outcome = simulate(shard(1), [5_000.0], seconds=30.0, fails_at=5.0)

    assert outcome.backlog < 1_000


def test_users_fill_partitions_unevenly() -> None:
    """All shares together are everything, and the more some users do, the further partitions differ."""
    found = [shares(64, skew, 1) for skew in (0.0, 0.3, 0.6, 0.8)]
    spreads = [max(even) / min(even) for even in found]

    assert [1.0] * 4 == pytest.approx([sum(even) for even in found])
    assert sorted(spreads) == spreads
    assert spreads[0] < 1.01
    assert spreads[-1] > 1.3
    assert found[-1] != shares(64, 0.8, 2)


def test_who_does_most_is_in_one_partition() -> None:
    """One user's events are never divided: of a thousand partitions, one has eight times its part."""
    assert max(shares(1_000, 0.8, 1)) > 0.008


def test_the_hottest_shard_has_most_to_do() -> None:
    """What the shard that has most to do cannot, the setup cannot."""
    setup = Setup(rate=40_000, shards=4, skew=0.8, shard=shard(1))

    assert setup.hottest().arrived == pytest.approx(max(outcome.arrived for outcome in setup.all()), rel=0.03)


def test_a_lag_is_weighed_by_its_events() -> None:
    """A percentile is over events, not over batches, and what was seen during the warm-up does not count."""
    seen = [(1.0, Chunk(0.0, 0, 900)), (9.0, Chunk(0.0, 0, 1)), (9.0, Chunk(8.5, 0, 99))]
    outcome = Outcome(arrived=1_000, backlog=0, seen=seen, seconds=12.0, load={})

    assert (0.5, 9.0) == (scaling.lag([outcome], 0.99), scaling.lag([outcome], 1.0))
    assert 10.0 == outcome.rate


def test_the_smallest_setup_is_the_smallest() -> None:
    """It keeps up with more than a million events a second; with a shard or a projector fewer in each, it does not."""
    found = scaling.smallest()
    more = replace(found, rate=scaling.MORE * found.rate)

    assert scaling.keeps_up([more.hottest()])
    assert not scaling.keeps_up([replace(more, shards=more.shards - 1).hottest()])
    assert not scaling.keeps_up([replace(more, shard=shard(more.shard.projectors - 1)).hottest()])
