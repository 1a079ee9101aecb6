"""Fixtures: running instances of both deployments, and a real Kafka."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.support.deployments import Laurels, embedded, scaled_out
from tests.support.kafka import SharedBroker, kafka_or_skip, session_broker, session_folder

Deploy = Callable[[Path, Mapping[str, str]], AbstractContextManager[Laurels]]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBroker]:
    """Start a real broker that all workers of the session share."""
    with kafka_or_skip(), session_broker(session_folder(tmp_path_factory.getbasetemp())) as broker:
        yield broker


@pytest.fixture(scope="session")
def deploy(deployment: str, request: pytest.FixtureRequest) -> Deploy:
    """How this test's deployment is started."""
    if deployment == "embedded":
        return embedded
    broker: SharedBroker = request.getfixturevalue("kafka")
    return lambda folder, settings: scaled_out(folder, broker.bootstrap_servers, settings)


@pytest.fixture(scope="session")
def laurels(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laurels]:
    """Run an instance that many tests share."""
    with deploy(tmp_path_factory.mktemp("laurels"), {}) as running:
        yield running


@pytest.fixture
def fresh_laurels(deploy: Deploy, tmp_path: Path) -> Iterator[Callable[..., Laurels]]:
    """Make an instance with an empty database, for this test alone."""
    with ExitStack() as stack:

        def make(**settings: str) -> Laurels:
            folder = tmp_path / f"instance-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return stack.enter_context(deploy(folder, settings))

        yield make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that wants an instance in both deployments, each in a worker of its own."""
    if "deployment" in metafunc.fixturenames:
        choices = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("embedded", "kafka")]
        metafunc.parametrize("deployment", choices, scope="session")
