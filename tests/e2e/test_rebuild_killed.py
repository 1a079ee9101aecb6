"""`kill -9` of `laurels rebuild` at every stage: what is served stays as it is, and the next rebuild goes on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from projector.generations.verification import verify
from tests.support.clients import every_read
from tests.support.deployments import Laurels, embedded, fetch, scaled_out
from tests.support.kafka import SharedBroker
from tests.support.killed import RANGE
from tests.support.operators import generations, given_history, live, sent, told
from tests.support.processes import run
from tests.support.synchronously import synchronously

PHASES = ("Loading", "Indexing", "Verifying", "Catching up", "Switching")


@dataclass(frozen=True, slots=True)
class Killed:
    """A rebuild that dies: when, what was asked for, and the phase with which the next one goes on."""

    moment: str
    next_phase: str
    plan: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the case in the list of tests."""
        return " ".join((self.moment, *self.plan))


EMBEDDED = (
    Killed("in the load", "Loading"),
    Killed("after the load", "Loading"),
    Killed("after the load", "Loading", ("--projection", "totals")),
    Killed("in the indexes", "Indexing"),
    Killed("after the indexes", "Verifying"),
    Killed("in the verification", "Verifying"),
    Killed("after the verification", "Verifying", ("--dry-run",)),
    Killed("in the catching up", "Catching up"),
    Killed("after the catching up", "Catching up"),
    Killed("in the switch", "Switching"),
    Killed("after the switch", "Switching"),
)
KAFKA = (
    Killed("in the load from kafka", "Loading", ("--transport", "kafka")),
    Killed("in the switch", "Switching"),
)


@pytest.fixture(scope="module")
def on_the_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laurels]:
    """Run an embedded instance with a history, whose rebuilds these tests kill."""
    with embedded(tmp_path_factory.mktemp("killed"), {}) as laurels:
        given_history(laurels, users=50, awards=2 * RANGE)
        yield laurels


@pytest.fixture(scope="module")
def on_kafka(tmp_path_factory: pytest.TempPathFactory, kafka: SharedBroker) -> Iterator[Laurels]:
    """Run a scaled-out instance with a history, whose rebuilds these tests kill."""
    with scaled_out(tmp_path_factory.mktemp("killed"), kafka.bootstrap_servers, {}) as laurels:
        given_history(laurels, users=50, awards=2 * RANGE)
        yield laurels


@pytest.mark.xdist_group("embedded")
@pytest.mark.parametrize("killed", EMBEDDED, ids=str)
def test_a_killed_rebuild_changes_nothing_and_is_gone_on_with(on_the_log: Laurels, killed: Killed) -> None:
    """Whenever it dies, reads are as before, what is live is followed, and the next rebuild takes up where it was."""
    assert_it_goes_on(on_the_log, killed)


@pytest.mark.xdist_group("kafka")
@pytest.mark.parametrize("killed", KAFKA, ids=str)
def test_a_killed_rebuild_is_gone_on_with_on_kafka(on_kafka: Laurels, killed: Killed) -> None:
    """The same where Kafka feeds the projectors, or the rebuild."""
    assert_it_goes_on(on_kafka, killed)


def assert_it_goes_on(laurels: Laurels, killed: Killed) -> None:
    before, answers = live(laurels), answers_of(laurels)

    new = die(laurels, killed.moment, *killed.plan)

    switched = killed.moment == "after the switch"
    assert (new if switched else before) == live(laurels)
    assert answers == answers_of(laurels)
    sent(laurels, [{"type": "award-achievement", "username": "user-1", "achievement_name": "feat-1"}])

    printed = told(0, laurels.operate("rebuild", *killed.plan))
    if "--dry-run" in killed.plan:
        # It was over but for the note of it.
        assert before == live(laurels)
        return
    assert f"Going on with generation {new}, which was interrupted." in printed
    done = [phase for phase in PHASES if phase in printed]
    assert list(PHASES[PHASES.index(killed.next_phase) :]) == done
    assert {new: "live", before: "standby"} == generations(laurels)
    assert_clean(laurels)


def die(laurels: Laurels, moment: str, *plan: str) -> int:
    """Have a rebuild die at a moment; return its generation."""
    command = ["python", "-m", "tests.support.killed", moment, "rebuild", *plan]
    died = run(command, environment=laurels.environment)
    assert -9 == died.returncode, died.stdout + died.stderr
    (row,) = fetch(laurels, "SELECT generation FROM rebuilds WHERE state = 'running'")
    return int(row["generation"])


def assert_clean(laurels: Laurels) -> None:
    """Hold what is served to the log, as `laurels verify` does."""
    assert 0 == synchronously(verify(laurels.database_url, live(laurels))).drift


def answers_of(laurels: Laurels) -> dict[str, Any]:
    reads = every_read("user-7", 1)
    return {read.path: laurels.http.get(read.path).json() for read in reads}


@pytest.mark.xdist_group("embedded")
def test_what_a_killed_rebuild_left_can_be_dropped(on_the_log: Laurels) -> None:
    """`--drop` leaves what there was before: no schema, no row, and nothing to go on with."""
    before = generations(on_the_log)
    new = die(on_the_log, "in the load")
    loaded = fetch(on_the_log, f"SELECT DISTINCT position FROM progress WHERE generation = {new}")  # noqa: S608 - a number
    assert [RANGE] == [row["position"] for row in loaded]

    assert f"Generation {new} was dropped." in told(0, on_the_log.operate("rebuild", "--drop", "--yes"))

    assert before == generations(on_the_log)
    assert "dropped" == state_of(on_the_log, new)
    assert "No rebuild was interrupted." in told(0, on_the_log.operate("rebuild", "--drop", "--yes"))


@pytest.mark.xdist_group("embedded")
def test_a_rollback_never_goes_to_what_a_killed_rebuild_left(on_the_log: Laurels) -> None:
    """Back is where reads were served from before, even while a newer generation stands by already."""
    told(0, on_the_log.operate("rebuild"))
    before = generations(on_the_log)
    (kept,) = (number for number, state in before.items() if state == "standby")
    new = die(on_the_log, "after the catching up")

    told(0, on_the_log.operate("rollback"))

    assert kept == live(on_the_log)
    told(0, on_the_log.operate("rebuild", "--drop", "--yes"))
    assert before.keys() == generations(on_the_log).keys()
    assert "dropped" == state_of(on_the_log, new)


@pytest.mark.xdist_group("embedded")
def test_a_rebuild_that_died_after_its_switch_is_not_dropped(on_the_log: Laurels) -> None:
    """What reads are served from stays, though nobody has noted that the rebuild is done."""
    new = die(on_the_log, "after the switch")

    assert "No rebuild was interrupted." in told(0, on_the_log.operate("rebuild", "--drop", "--yes"))

    assert new == live(on_the_log)
    assert "done" == state_of(on_the_log, new)


@pytest.mark.xdist_group("embedded")
def test_another_plan_drops_what_a_killed_rebuild_left(on_the_log: Laurels) -> None:
    """A rebuild goes on only with its own plan; whoever asks for something else begins anew, and is told so."""
    before = live(on_the_log)
    new = die(on_the_log, "after the catching up")

    printed = told(0, on_the_log.operate("rebuild", "--projection", "streaks"))

    assert "Going on" not in printed
    assert f"Dropped generation {new}, which was interrupted: it had other options" in printed
    assert {new + 1: "live", before: "standby"} == generations(on_the_log)
    assert "dropped" == state_of(on_the_log, new)


@pytest.mark.xdist_group("embedded")
def test_a_dry_run_leaves_what_a_killed_rebuild_left(on_the_log: Laurels) -> None:
    """It is refused rather than throwing away what somebody may go on with; what a dry run left is nothing to keep."""
    new = die(on_the_log, "in the indexes")
    before = generations(on_the_log)

    refused = told(1, on_the_log.operate("rebuild", "--dry-run"))

    assert f"An interrupted rebuild left generation {new}" in refused
    assert before == generations(on_the_log)
    told(0, on_the_log.operate("rebuild", "--drop", "--yes"))
    dry = die(on_the_log, "in the indexes", "--dry-run")
    assert f"Dropped generation {dry}" in told(0, on_the_log.operate("rebuild", "--dry-run", "--projection", "totals"))


def state_of(laurels: Laurels, generation: int) -> str:
    """Return what became of the rebuild that made a generation."""
    (row,) = fetch(laurels, f"SELECT state FROM rebuilds WHERE generation = {generation}")  # noqa: S608 - a number
    return str(row["state"])
