"""What describes the deployments: compose.yaml, haproxy.cfg, Dockerfile and .env.example, held to the code."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.runtime.settings import Settings
from tests.support.deployments import compose_services
from tests.support.gateway import check, haproxy_or_skip
from tests.support.processes import ROOT
from tests.support.settings_files import COMPOSE, EXAMPLE, example
from tests.support.settings_files import compose as passed_on

OURS = {
    "migrate": ["python", "-m", "alembic", "upgrade", "head"],
    "command_api": ["python", "-m", "command_api"],
    "relay": ["python", "-m", "command_api.relay"],
    "projector": ["python", "-m", "projector"],
    "query_api": ["python", "-m", "query_api"],
}
COPIED = re.compile(r"^COPY\s+(?!--from)(.+)\s+\S+$", re.MULTILINE)
SET_BY_COMPOSE = {"LAURELS_HOST": "0.0.0.0", "LAURELS_PORT": "8000"}  # noqa: S104 - inside the network
TAKEN = re.compile(r"^\$\{(\w+):-(.*)\}$")


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
    """tests/support/deployments.py starts these very services."""
    assert OURS == {name: service["command"] for name, service in compose_services().items()}


def test_one_image_is_built_once() -> None:
    """Everything of this project runs the image that the migrations build, and nothing looks for it elsewhere."""
    ours = {name: service for name, service in services().items() if service["image"] == "laurels"}
    assert {*OURS, "laurels"} == set(ours)
    assert ["migrate"] == [name for name, service in ours.items() if "build" in service]
    assert {"never"} == {service["pull_policy"] for service in ours.values()}


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
        assert service["image"] == "laurels" or tag not in {"", "latest"}, name


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


@pytest.mark.parametrize("name", [*OURS, "laurels"])
def test_every_setting_of_the_env_file_reaches_every_process(name: str) -> None:
    """Each setting is taken from .env or has the default of the code, but for what the network of compose decides."""
    environment = services()[name]["environment"]
    taken = {key: TAKEN.match(value) for key, value in environment.items() if key in defaults()}
    own = {"LAURELS_DATABASE_URL", "LAURELS_TRANSPORT", "LAURELS_KAFKA_BOOTSTRAP_SERVERS", "LAURELS_OPEN"}

    # The embedded PostgreSQL does not run here.
    assert set(defaults()) - {"LAURELS_DATA_DIR"} == set(taken)
    for key, found in taken.items():
        if key in SET_BY_COMPOSE:
            assert SET_BY_COMPOSE[key] == environment[key]
        else:
            assert found is not None, key
            assert key == found[1]
            assert key in own or defaults()[key] == found[2]
    Settings.model_validate({key.removeprefix("LAURELS_").lower(): found[2] for key, found in taken.items() if found})


@pytest.mark.parametrize("name", sorted(services()))
def test_no_process_has_a_setting_that_there_is_not(name: str) -> None:
    """A LAURELS_ variable that nothing reads would be a lie."""
    ours = {key for key in services()[name].get("environment", {}) if key.startswith("LAURELS_")}
    assert ours <= {*defaults(), "LAURELS_TOKEN"}


def test_the_password_is_one_setting() -> None:
    """PostgreSQL is made with the password of .env, and everybody signs in with the same."""
    taken = "${POSTGRES_PASSWORD:-laurels}"
    assert taken == services()["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert {taken} == {services()[name]["environment"]["PGPASSWORD"] for name in (*OURS, "laurels")}
    assert "#POSTGRES_PASSWORD=laurels\n" in (ROOT / ".env.example").read_text()


def test_what_runs_comes_back_after_a_crash() -> None:
    """Whatever is no job and no tool is started again when it ends, or when the engine does."""
    running = [name for name, service in services().items() if not is_job(service)]
    assert {"unless-stopped"} == {services()[name]["restart"] for name in running}
    assert {"postgres", "kafka", "gateway"} < set(running)


def test_only_the_gateway_is_reached_from_outside() -> None:
    """One port, one origin: 8000 of this machine, unless .env says otherwise."""
    published = "${LAURELS_HOST:-127.0.0.1}:${LAURELS_PORT:-8000}:8000"
    assert {"gateway": [published]} == {name: s["ports"] for name, s in services().items() if "ports" in s}


@pytest.mark.parametrize("name", sorted(services()))
def test_nothing_asks_localhost(name: str) -> None:
    """Within a container `localhost` may be ::1 first, where nothing listens."""
    assert "localhost" not in str(services()[name])


def test_every_volume_is_declared() -> None:
    """Data lies in volumes that outlive their containers, and files that are mounted exist."""
    for service in services().values():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            assert (ROOT / source).is_file() if source.startswith(".") else source in compose()["volumes"]


def test_the_gateway_knows_its_services() -> None:
    """The names and ports in haproxy.cfg are services of compose.yaml, where they listen."""
    text = (ROOT / "haproxy.cfg").read_text()
    port = SET_BY_COMPOSE["LAURELS_PORT"]

    named = set(re.findall(r"-(\w+):(\d+)\}", text))

    assert {("query_api", port), ("command_api", port), ("projector", port)} == named


@pytest.mark.parametrize(
    ("published", "accepted"),
    [
        ({}, True),
        ({"PUBLISHED_ON": "127.0.0.1", "TOKENS": "", "OPEN": "no"}, True),
        ({"PUBLISHED_ON": "::1", "TOKENS": "", "OPEN": "no"}, True),
        ({"PUBLISHED_ON": "[::1]", "TOKENS": "", "OPEN": "no"}, True),
        ({"PUBLISHED_ON": "::", "TOKENS": "", "OPEN": "no"}, False),
        ({"PUBLISHED_ON": "0.0.0.0", "TOKENS": "", "OPEN": "no"}, False),  # noqa: S104 - read, not bound
        ({"PUBLISHED_ON": "0.0.0.0", "TOKENS": "a-token-of-a-producer", "OPEN": "no"}, True),  # noqa: S104
        ({"PUBLISHED_ON": "0.0.0.0", "TOKENS": "", "OPEN": "yes"}, True),  # noqa: S104
    ],
    ids=str,
)
def test_the_gateway_starts_where_nobody_unknown_may_command(published: dict[str, str], *, accepted: bool) -> None:
    """HAProxy finds nothing wrong with its file; published beyond this machine without tokens it says what to do."""
    haproxy_or_skip()
    checked = check(published)

    assert accepted == (checked.returncode == 0), checked.stderr
    assert accepted == ("LAURELS_WRITE_TOKENS" not in checked.stderr)


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


@pytest.mark.parametrize(
    ("path", "expected"), [(EXAMPLE, example), (COMPOSE, passed_on)], ids=["the example", "compose.yaml"]
)
def test_what_follows_from_the_settings_is_current(path: Path, expected: Callable[[], str]) -> None:
    """Both files are as `make settings` writes them: a setting is declared in one place."""
    assert expected() == path.read_text()


def test_every_setting_has_a_sentence() -> None:
    """Whoever reads .env.example learns what each is for."""
    assert [] == [name for name, field in Settings.model_fields.items() if not str(field.description).endswith(".")]


def test_the_example_changes_nothing_when_it_is_copied() -> None:
    """Copied to .env as it is, it leaves every setting at its default."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [] == [line for line in lines if line.strip() and not line.startswith("#")]
