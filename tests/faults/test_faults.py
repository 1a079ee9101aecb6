"""A short seeded run of the harness in both deployments; `make faults` does longer ones."""

import os

import pytest

from tests.support.kafka import kafka_or_skip
from tests.support.processes import run

SEED = os.environ.get("SEED", "20261123")
KILLS = "25"


@pytest.mark.parametrize(
    "place",
    [pytest.param(name, marks=pytest.mark.xdist_group(f"faults {name}")) for name in ("embedded", "kafka")],
)
def test_nothing_is_lost_or_counted_twice(place: str) -> None:
    """Whatever is killed, cut or paused, every acknowledged command is in the log and in the read models once."""
    with kafka_or_skip():
        command = ["python", "-m", "tests.faults.run", "--deployment", place, "--seed", SEED, "--kills", KILLS]
        done = run(command, environment={}, seconds=900)

    assert 0 == done.returncode, f"{done.stdout}\n{done.stderr[-4000:]}"
