"""The broker of the other tests, where a Docker engine answers that may or may not have its image."""

from pathlib import Path

import pytest

from tests.compose.engine import Engine
from tests.support.kafka import answers, kafka_or_skip, session_broker


def test_a_broker_comes_from_a_container_or_else_from_the_jars(
    docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that answers and cannot start the container holds nobody up: the log says why the jars are used."""
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    monkeypatch.delenv("LAURELS_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with kafka_or_skip(), session_broker(tmp_path) as broker:
        assert answers(broker.bootstrap_servers)
        with docker_engine.client() as client:
            in_container = any("apache/kafka:" in tag for one in client.containers.list() for tag in one.image.tags)
        assert in_container or "no broker in a container" in (tmp_path / "holder.log").read_text()
