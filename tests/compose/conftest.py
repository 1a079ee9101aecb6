"""The engine, its images and the running project, which all tests of this folder share, in the order of their files."""

import signal
from collections.abc import Iterator

import pytest

from tests.compose.engine import Engine, EngineUnavailable, engine
from tests.compose.images import provide
from tests.compose.project import ADMIN_TOKEN, PASSWORD, Project, project


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """Find or start an engine that has the images, or skip with the reason why there is none."""
    # Whoever ends the tests early has everything taken away, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with engine() as found:
            stand_ins = provide(found)
            print("".join(f"\n{image} is a stand-in: {file}" for image, file in stand_ins.items()))  # noqa: T201
            yield found
    except EngineUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def composed(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Do what the README says: copy .env.example to .env, `docker compose up --build`."""
    with project(docker_engine, tmp_path_factory.mktemp("project")) as made:
        made.write_settings(LAURELS_PORT=str(made.port), POSTGRES_PASSWORD=PASSWORD, LAURELS_ADMIN_TOKENS=ADMIN_TOKEN)
        made.up("--build")
        yield made
