"""A new version of read models and of an event beside the old one, in the order that docs/operations.md asks for."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.read_models.generations import VERSION
from tests.support.clients import API, awarding, every_read, reading
from tests.support.deployments import Parts, parts
from tests.support.next_version import V1_ORIGIN, V2_ORIGIN
from tests.support.operators import defined, told
from tests.support.processes import Service, free_port, run, start

SECONDS = 30.0
NEXT = ("python", "-m", "tests.support.next_version")


def given(command_api: Service, commands: Sequence[object]) -> int:
    """Send commands, and return the position of the last."""
    response = httpx.post(f"{command_api.url}{API}/commands", json=commands, timeout=SECONDS)
    assert {200, 201} >= {result["status"] for result in response.json()}, response.text
    return int(response.headers["Event-Position"])


def registered(*names: str) -> list[dict[str, object]]:
    return [{"type": "create-user", "username": name, "user_language": "en"} for name in names]


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} never came true"
        time.sleep(0.05)


def read_position(instance: Parts, generation: int) -> int:
    return int(instance.fetch(f"SELECT read_position({generation}) AS position")[0]["position"])


def head(instance: Parts) -> int:
    return int(instance.fetch("SELECT position FROM log_head")[0]["position"])


def user(query_api: Service, name: str, position: int) -> dict[str, Any]:
    """Return a user as reads show it once they have reached a position."""
    response = httpx.get(
        f"{query_api.url}{API}/users/{name}/",
        params={"min_position": position},
        headers={"Prefer": "wait=10"},
        timeout=SECONDS,
    )
    assert 200 == response.status_code, response.text
    shown: dict[str, Any] = response.json()
    return shown


@pytest.mark.xdist_group("embedded")
def test_an_upgrade_that_changes_read_models_and_events_fails_no_read(tmp_path: Path) -> None:
    """Old and new serve beside each other, clients never see an error, and the new column is right for all events."""
    with parts(tmp_path, "localhost:9", {"LAURELS_TRANSPORT": "postgres"}) as instance, ExitStack() as clients:
        old = {name: instance.start(name) for name in ("command_api", "projector", "query_api")}
        given(old["command_api"], [*registered("ann", "bob"), defined("feat", 10)])
        awards = [{"type": "award-achievement", "username": name, "achievement_id": 1} for name in ("ann", "bob")]
        changed = {"type": "change-user", "username": "bob", "user_language": "ru"}
        position = given(old["command_api"], [changed, *awards, *awards])
        assert "origin" not in user(old["query_api"], "ann", position)
        reads = every_read("ann", 1)
        beside_old = clients.enter_context(ExitStack())
        beside_old.enter_context(reading(old["query_api"].url, reads))
        writing = clients.enter_context(ExitStack())
        writing.enter_context(awarding(old["command_api"].url, ["bob"], {"achievement_id": 1}))

        new_projector = instance.launch("next-projector", [*NEXT, "projector"])
        told(0, run([*NEXT, "cli", "rebuild"], environment=instance.environment))
        new_projector.wait_until_ready()
        assert_each_follows_its_own(instance, old["command_api"], new_projector)
        new_projector = instance.launch("next-projector-again", [*NEXT, "projector"])
        reached = head(instance)
        eventually(lambda: read_position(instance, 2) >= reached, "the new generation's progress")

        new_query_api = instance.launch("next-query_api", [*NEXT, "query_api"])
        new_query_api.wait_until_ready()
        clients.enter_context(reading(new_query_api.url, reads))
        beside_old.close()
        assert 0 == old["query_api"].stop()

        new_command_api = instance.launch("next-command_api", [*NEXT, "command_api"])
        new_command_api.wait_until_ready()
        clients.enter_context(awarding(new_command_api.url, ["bob"], {"achievement_id": 1}))
        writing.close()
        assert 0 == old["command_api"].stop()
        assert 0 == old["projector"].stop()

        position = given(new_command_api, [*registered("cyd", "dee"), {**changed, "username": "dee"}])
        versions = instance.fetch("SELECT schema_version FROM events WHERE type = 'user-created' ORDER BY position")
        assert [1, 1, 1, 2, 2] == [row["schema_version"] for row in versions]
        expected = {"ann": V1_ORIGIN, "bob": V1_ORIGIN, "cyd": V2_ORIGIN, "dee": V2_ORIGIN}
        assert expected == {name: user(new_query_api, name, position)["origin"] for name in expected}
        assert "ru" == user(new_query_api, "dee", position)["user_language"]

        refused = run([*NEXT, "cli", "rollback"], environment=instance.environment)
        assert f"Generation 1 is of version {VERSION}" in told(1, refused)
        refused = run(["laurels", "rollback"], environment=instance.environment)
        assert "a projector of its version has to be running" in told(1, refused)
        told(0, run([*NEXT, "cli", "verify"], environment=instance.environment))
        assert 2 == instance.fetch("SELECT generation FROM generations WHERE state = 'live'")[0]["generation"]


def assert_each_follows_its_own(instance: Parts, command_api: Service, new_projector: Service) -> None:
    """See that projectors follow generations of their own version only: without the new one, the new one stands."""
    assert 0 == new_projector.stop()
    stands = read_position(instance, 2)
    position = given(command_api, registered("eve"))
    eventually(lambda: read_position(instance, 1) >= position, "the old generation's progress")
    assert stands == read_position(instance, 2)


@pytest.mark.xdist_group("embedded")
def test_the_all_in_one_rebuilds_before_it_serves_a_new_version(tmp_path: Path) -> None:
    """Whoever starts the next version over a data folder of this one reads the new column from the first answer on."""
    environment = {"LAURELS_DATA_DIR": str(tmp_path / "data")}
    old = start("old", ["laurels", "up"], environment=environment, folder=tmp_path, port=free_port())
    try:
        old.wait_until_ready()
        position = given(old, registered("ann"))
        assert "origin" not in user(old, "ann", position)
    finally:
        assert 0 == old.stop()

    new = start("new", [*NEXT, "cli", "up"], environment=environment, folder=tmp_path, port=free_port())
    try:
        new.wait_until_ready()
        assert V1_ORIGIN == user(new, "ann", position)["origin"]
        assert V2_ORIGIN == user(new, "bob", given(new, registered("bob")))["origin"]
        assert "building new ones from 1 events" in new.log.read_text()
    finally:
        assert 0 == new.stop()
