"""Replicas that come, go and freeze while clients read."""

import time
from collections import Counter

from tests.compose.load import reading
from tests.compose.project import Project, until

SLOWEST_WHEN_SCALED = 5.0
SLOWEST_WHEN_FROZEN = 25.0


def scale(composed: Project, count: int) -> None:
    composed.compose("up", "-d", "--no-recreate", "--scale", f"query_api={count}")
    until(lambda: count == len([one for one in composed.containers("query_api") if one.health == "healthy"]))


def test_readers_notice_no_scaling(composed: Project) -> None:
    """From one replica to three and back to one, every read is answered, and soon."""
    with reading(composed) as reads:
        scale(composed, 3)
        scale(composed, 1)
        time.sleep(3)  # what a resolver remembers too long shows only afterwards

    assert {200: len(reads.answers)} == Counter(reads.answers), composed.compose("logs", "gateway").stdout
    assert max(reads.seconds) < SLOWEST_WHEN_SCALED


def test_a_frozen_replica_holds_nobody_up_for_long(composed: Project) -> None:
    """Reads that a frozen replica took are answered by another."""
    scale(composed, 2)
    frozen = composed.containers("query_api")[0]
    with reading(composed) as reads:
        before = len(reads.answers)
        frozen.pause()
        time.sleep(SLOWEST_WHEN_FROZEN)
        after = len(reads.answers)
        frozen.unpause()

    assert {200: len(reads.answers)} == Counter(reads.answers), composed.compose("logs", "gateway").stdout
    assert max(reads.seconds) < SLOWEST_WHEN_FROZEN
    assert after - before > SLOWEST_WHEN_FROZEN
