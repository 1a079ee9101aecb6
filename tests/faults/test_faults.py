"""A short seeded run of the harness in both deployments; `make faults` does longer ones."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.faults.run import Plan, run
from tests.support.kafka import kafka_or_skip

SEED = int(os.environ.get("SEED", "20261123"))
KILLS = 25


@pytest.mark.xdist_group("faults embedded")
def test_nothing_is_lost_or_counted_twice_embedded(tmp_path: Path) -> None:
    """Whatever is killed or cut, every acknowledged command is in the log and in the read models once."""
    result = asyncio.run(run(Plan(deployment="embedded", seed=SEED, kills=KILLS), tmp_path))

    print(result.line)
    assert [] == result.account.wrong


@pytest.mark.xdist_group("faults kafka")
def test_nothing_is_lost_or_counted_twice_on_kafka(tmp_path: Path) -> None:
    """The same with Kafka between, projectors that come and go, and records that come twice or damaged."""
    with kafka_or_skip():
        result = asyncio.run(run(Plan(deployment="kafka", seed=SEED, kills=KILLS), tmp_path))

    print(result.line)
    assert [] == result.account.wrong
