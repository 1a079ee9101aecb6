"""When a partition is read from the log, as the clock goes."""

from dataclasses import dataclass

import pytest

from projector.feeds.lateness import ABANDONED_SECONDS, OVERDUE_SECONDS, RECENT_SECONDS, Lateness


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lateness(clock: Clock) -> Lateness:
    return Lateness(clock)


def test_what_kafka_does_not_bring_is_overdue_after_a_while(lateness: Lateness, clock: Clock) -> None:
    """Time counts from when the log went ahead of Kafka; what the log gave meanwhile does not start it again."""
    assert set() == lateness.overdue({0: 5}, [5])

    clock.now = 100
    assert set() == lateness.overdue({0: 5}, [6])
    clock.now += OVERDUE_SECONDS
    assert {0} == lateness.overdue({0: 5}, [6])
    assert {0} == lateness.overdue({0: 6}, [7])

    lateness.brought(0, 6)
    assert set() == lateness.overdue({0: 7}, [8])


def test_partitions_are_overdue_each_for_itself(lateness: Lateness, clock: Clock) -> None:
    """What one brings is no news of another."""
    lateness.overdue({0: 1, 1: 1}, [2, 2])
    lateness.brought(0, 2)
    clock.now = OVERDUE_SECONDS

    assert {1} == lateness.overdue({0: 1, 1: 1}, [3, 2])


def test_another_projectors_partition_that_stands_still_is_abandoned(lateness: Lateness, clock: Clock) -> None:
    """One that moves, however slowly, or has nothing to do stays with its projector."""
    for second in range(100):
        clock.now = second
        assert set() == lateness.abandoned({0: second // 5, 1: 7}, [1000, 7])

    assert set() == lateness.abandoned({1: 7}, [1000, 8])
    clock.now += ABANDONED_SECONDS
    assert {1} == lateness.abandoned({1: 7}, [1000, 8])


def test_why_the_log_is_read_is_known_for_a_while(
    lateness: Lateness, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Until nothing has happened for long, or Kafka brings events again; it is logged when it begins, and no more."""
    for _ in range(3):
        lateness.filled(1, "no broker answers")
        lateness.filled(2, "no broker answers")
    assert 2 == len(caplog.records)

    assert {1: "no broker answers", 2: "no broker answers"} == lateness.from_log
    lateness.brought(1, 10)
    assert {2: "no broker answers"} == lateness.from_log
    clock.now = RECENT_SECONDS
    assert {} == lateness.from_log
