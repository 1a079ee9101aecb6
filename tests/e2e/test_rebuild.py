"""`laurels rebuild`, `rollback` and `verify` beside clients that go on, in both deployments."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.support.clients import awarding, every_read, reading
from tests.support.deployments import Laurels, fetch
from tests.support.operators import generations, given_history, live, told, unequal_rows

SECONDS = 60.0
Make = Callable[..., Laurels]


def wait_until_level(laurels: Laurels) -> None:
    """Wait until every generation has the whole log."""
    deadline = time.monotonic() + SECONDS
    behind = "SELECT count(*) FROM generations, log_head WHERE read_position(generation) < position"
    while fetch(laurels, behind)[0]["count"]:
        assert time.monotonic() < deadline, "a generation is not kept up to date"
        time.sleep(0.05)


def test_nobody_notices_a_rebuild_or_a_rollback(fresh_laurels: Make) -> None:
    """Clients that read and award without pause see no error and nothing older, and all generations have equal rows."""
    laurels = fresh_laurels()
    names = given_history(laurels, users=100, awards=2_000)
    commands = [["rebuild"], ["rollback"], ["rebuild"]]
    if laurels.transport == "kafka":
        commands += [["rebuild", "--transport", "kafka"]]
    with at_work(laurels, names):
        served_after = [served_after_command(laurels, *command) for command in commands]
    wait_until_level(laurels)

    assert [2, 1, 3, 4][: len(commands)] == served_after
    last = served_after[-1]
    before = last - 1 if laurels.transport == "kafka" else 1
    assert {before: "standby", last: "live"} == generations(laurels)
    assert {} == unequal_rows(laurels, before, last)
    assert "are what the log says" in told(0, laurels.operate("verify"))

    status = json.loads(told(0, laurels.operate("status", "--json")))
    assert [(before, "standby", 0)] == [(g["generation"], g["state"], g["lag"]) for g in status["other_generations"]]

    # The tables go that reads were served from a moment ago.
    with at_work(laurels, names):
        assert last + 1 == served_after_command(laurels, "rebuild", "--keep", "0", "--yes")
    assert {last + 1: "live"} == generations(laurels)
    assert "There is no standby generation" in told(1, laurels.operate("rollback"))
    status = json.loads(told(0, laurels.operate("status", "--json")))
    assert (last + 1, []) == (status["generation"], status["other_generations"])


@contextmanager
def at_work(laurels: Laurels, names: Sequence[str]) -> Iterator[None]:
    """Have clients read everything and award everybody."""
    with (
        reading(laurels.base_url, every_read(names[7], 1)),
        awarding(laurels.base_url, names, {"achievement_name": "feat-1"}),
    ):
        yield


def served_after_command(laurels: Laurels, *command: str) -> int:
    told(0, laurels.operate(*command))
    return live(laurels)
