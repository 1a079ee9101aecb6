"""Containers that are killed and restarted under load."""

from functools import partial

import httpx

from tests.compose.load import Awards, awarding
from tests.compose.project import Project, until
from tests.compose.test_1_start import SERVICES, is_well

SECONDS = 120.0


def kill(composed: Project, service: str) -> None:
    """End a container's process as a crash does; `docker kill` would count as an operator's wish and keep it down."""
    container = composed.containers(service)[0]
    starts, pid = container.attrs["RestartCount"], container.attrs["State"]["Pid"]
    with composed.engine.client() as client:
        client.containers.run("laurels", ["bash", "-c", f"kill -9 {pid}"], pid_mode="host", user="root", remove=True)
    until(lambda: composed.containers(service)[0].attrs["RestartCount"] > starts)


def restart(composed: Project, service: str) -> None:
    composed.compose("restart", "-t", "5", service)


def test_no_acknowledged_command_is_lost(composed: Project) -> None:
    """Each service is killed and restarted while somebody awards: all comes back, every award counts once."""
    with awarding(composed, "survivor") as awards:
        for service in SERVICES:
            for disturb in (kill, restart):
                count = len(awards.ids)
                disturb(composed, service)
                until(partial(has_more, awards, count), SECONDS, partial(composed.states, service))
                until(partial(is_well, composed, service), SECONDS, partial(composed.states, service))

    assert len(awards.ids) == len(set(awards.ids.values()))
    until(lambda: len(awards.ids) == held(composed, awards.username), SECONDS)
    assert "are what the log says" in composed.operate("verify")


def has_more(awards: Awards, count: int) -> bool:
    return len(awards.ids) > count


def held(composed: Project, username: str) -> int:
    answer = httpx.get(f"{composed.api}/users/{username}/stats/", timeout=30)
    return int(answer.json()["total_achievements"]) if answer.is_success else 0
