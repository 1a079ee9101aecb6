"""What describes the deployments: compose.yaml, nginx.conf, Dockerfile and .env.example, held to the code."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.runtime.settings import Settings
from tests.support.deployments import compose_services
from tests.support.processes import ROOT

OURS = {
    "migrate": ["python", "-m", "alembic", "upgrade", "head"],
    "command_api": ["python", "-m", "command_api"],
    "relay": ["python", "-m", "command_api.relay"],
    "projector": ["python", "-m", "projector"],
    "query_api": ["python", "-m", "query_api"],
}
COPIED = re.compile(r"^COPY\s+(?!--from)(.+)\s+\S+$", re.MULTILINE)
LISTED = re.compile(r"(?P<sentences>(?:# .+\n)+)#LAURELS_(?P<name>[A-Z_]+)=(?P<default>.*)(?:\n|$)")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def services() -> Mapping[str, Any]:
    found: Mapping[str, Any] = compose()["services"]
    return found


def defaults() -> dict[str, str]:
    """Return every setting with its default, as they are written in an environment."""
    return {f"LAURELS_{name.upper()}": str(field.default) for name, field in Settings.model_fields.items()}


def is_job(service: Mapping[str, Any]) -> bool:
    return service.get("restart") == "no"


def test_the_commands_are_those_that_the_tests_start() -> None:
    """tests/support/deployments.py starts these very services, and nothing else is built from this project."""
    assert OURS == {name: service["command"] for name, service in compose_services().items()}
    assert {name for name, service in services().items() if "build" in service} == set(OURS)


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_names_a_module(name: str) -> None:
    """What `python -m` is given can be run."""
    _, _, module, *_ = OURS[name]
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.submodule_search_locations is None or importlib.util.find_spec(f"{module}.__main__") is not None


def test_every_image_of_others_has_a_tag() -> None:
    """Nobody's deployment changes because somebody else released something."""
    for name, service in services().items():
        _, _, tag = service["image"].partition(":")
        assert "build" in service or tag not in {"", "latest"}, name


def test_the_versions_are_those_that_the_design_names() -> None:
    """PostgreSQL 18 and Apache Kafka 4, the same release as the tests run."""
    pom = (ROOT / "tests/support/kafka/pom.xml").read_text()
    tested = re.search(r"<kafka\.version>(.+)</kafka\.version>", pom)

    assert tested is not None
    assert f"apache/kafka:{tested[1]}" == services()["kafka"]["image"]
    assert services()["postgres"]["image"].startswith("postgres:18")


@pytest.mark.parametrize("name", sorted(services()))
def test_every_service_is_watched_or_is_a_job(name: str) -> None:
    """Whoever waits for a service can ask for its health; a job ends and is waited for."""
    service = services()[name]
    if is_job(service):
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(services()))
def test_nobody_waits_for_what_never_comes(name: str) -> None:
    """A job is waited for until it has succeeded, everything else until it is healthy."""
    for other, condition in services()[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if is_job(services()[other]) else "service_healthy"
        assert {"condition": expected} == condition, other


def test_there_are_two_projectors() -> None:
    """A consumer group is one only with more than one member."""
    assert services()["projector"]["deploy"]["replicas"] >= 2


@pytest.mark.parametrize("name", sorted(services()))
def test_every_setting_is_one(name: str) -> None:
    """A LAURELS_ variable that no setting reads would be a lie; what is set is valid."""
    environment = {key: value for key, value in services()[name].get("environment", {}).items() if "LAURELS_" in key}
    given = {key.removeprefix("LAURELS_").lower(): value for key, value in environment.items()}

    assert set(environment) <= set(defaults())
    Settings(_env_file=None, **given)
    assert all(isinstance(value, str) for value in services()[name].get("environment", {}).values())


def test_only_the_gateway_is_reached_from_outside() -> None:
    """One port, one origin: 8000."""
    assert {"gateway": ["8000:8000"]} == {name: s["ports"] for name, s in services().items() if "ports" in s}


def test_every_volume_is_declared() -> None:
    """Data lies in volumes that outlive their containers, and files that are mounted exist."""
    for service in services().values():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            assert (ROOT / source).is_file() if source.startswith(".") else source in compose()["volumes"]


def test_the_gateway_knows_both_services() -> None:
    """Nginx sends reads to the query side and commands to the command side, at the port that they listen on."""
    text = (ROOT / "nginx.conf").read_text()
    named = set(re.findall(r"(\w+):(\d+);", text))
    port = services()["query_api"]["environment"]["LAURELS_PORT"]

    assert {("query_api", port), ("command_api", port)} <= named
    assert {name for name, _ in named} <= set(services())
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx on this machine")
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    """`nginx -t` finds nothing wrong."""
    copy = tmp_path / "nginx.conf"
    shutil.copy(ROOT / "nginx.conf", copy)
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(copy), "-g", f"pid {tmp_path / 'nginx.pid'};"]

    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert 0 == checked.returncode, checked.stderr


def test_the_dockerfile_copies_what_is_there() -> None:
    """Every file that it names exists, the last CMD runs a module, and it does not end as root."""
    text = (ROOT / "Dockerfile").read_text()
    sources = [source for found in COPIED.findall(text) for source in found.split()]

    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] != "root"
    assert '["python", "-m", "command_api"]' in text


def test_every_python_that_is_named_can_run_it() -> None:
    """The image's Python is one that the project allows."""
    found = re.search(r"^FROM python:3\.(\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= 11


def test_the_example_lists_exactly_the_settings() -> None:
    """.env.example has every setting with its default and a sentence, commented out, and no other."""
    text = (ROOT / ".env.example").read_text()
    listed = {f"LAURELS_{found['name']}": found["default"] for found in LISTED.finditer(text)}

    assert defaults() == listed
    for found in LISTED.finditer(text):
        assert found["sentences"].strip().endswith("."), found["name"]


def test_the_example_changes_nothing_when_it_is_copied() -> None:
    """Copied to .env as it is, it leaves every setting at its default."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [] == [line for line in lines if line.strip() and not line.startswith("#")]
