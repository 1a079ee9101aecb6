"""What `docker compose up --build` brings about."""

from functools import partial

import yaml

from tests.compose.project import PASSWORD, Project, until

SERVICES = ("postgres", "kafka", "command_api", "relay", "projector", "query_api", "gateway")


def test_every_service_becomes_healthy_and_comes_back_by_itself(composed: Project) -> None:
    """Health checks pass, two projectors run, and whatever ends is started again."""
    for service in SERVICES:
        containers = composed.containers(service)
        assert (2 if service == "projector" else 1) == len(containers), service
        for container in containers:
            assert "unless-stopped" == container.attrs["HostConfig"]["RestartPolicy"]["Name"], service
        until(partial(is_well, composed, service), tell=partial(composed.states, service))


def is_well(composed: Project, service: str) -> bool:
    return all("healthy" == one.health for one in composed.containers(service))


def test_the_image_is_built_once(composed: Project) -> None:
    """All processes of this project run the same image."""
    images = {one.image.id for name in ("migrate", *SERVICES[2:6]) for one in composed.containers(name)}
    assert 1 == len(images)


def test_it_is_published_on_loopback_only(composed: Project) -> None:
    """One port, of this machine alone, and that of .env."""
    published = {
        name: [end["HostIp"], end["HostPort"]]
        for name in SERVICES
        for one in composed.containers(name)
        for ends in one.ports.values()
        for end in ends or ()
    }
    assert {"gateway": ["127.0.0.1", str(composed.port)]} == published


def test_the_password_is_that_of_the_env_file(composed: Project) -> None:
    """The database is made with it, and every service signs in with it."""
    for name in SERVICES[:1] + SERVICES[2:6]:
        for one in composed.containers(name):
            variable = "POSTGRES_PASSWORD" if name == "postgres" else "PGPASSWORD"
            assert f"{variable}={PASSWORD}" in one.attrs["Config"]["Env"], name


def test_without_an_env_file_everything_has_its_default(composed: Project) -> None:
    """Port 8000 on loopback, as the README says, and no tokens."""
    (composed.folder / ".env").rename(composed.folder / "kept.env")
    try:
        document = yaml.safe_load(composed.compose("config").stdout)
    finally:
        (composed.folder / "kept.env").rename(composed.folder / ".env")
    gateway, query_api = document["services"]["gateway"], document["services"]["query_api"]
    assert "127.0.0.1" in str(gateway["ports"])
    assert "8000" in str(gateway["ports"])
    assert "" == query_api["environment"]["LAURELS_WRITE_TOKENS"]
