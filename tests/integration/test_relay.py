"""The relay against a real Kafka: what it publishes, how two of them share the work, and what a lost broker costs."""

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from tests.support.deployments import Parts, parts
from tests.support.kafka import KafkaBroker, SharedBroker, kafka_or_skip, start_broker
from tests.support.processes import Service
from tests.support.synchronously import synchronously
from tests.support.topic import records_of

API = "/api/v1"
SECONDS = 60.0
PARTITIONS = 4
USERS = 10
EVENTS = "SELECT *, data::text AS text FROM events ORDER BY partition, position"
THE_LOCK = "SELECT pg_advisory_lock(hashtext('laurels relay'))"
LEASE = "SELECT epoch, position FROM write_model.relay_lease"


@pytest.fixture
def scene(kafka: SharedBroker, tmp_path: Path) -> Iterator[Parts]:
    """Give a database and a topic of the test's own, with no service running yet."""
    with parts(tmp_path, kafka.bootstrap_servers, {"LAURELS_PARTITIONS": str(PARTITIONS)}) as scene:
        yield scene


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with kafka_or_skip():
        broker = start_broker(tmp_path / "broker")
    yield broker
    broker.stop()


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what}: it never came true"
        time.sleep(0.05)


def append(api: Service, run: int = 0) -> int:
    """Append users, an achievement and awards to the log; return the last position."""
    users = [{"type": "create-user", "username": f"user-{run}-{n}", "user_language": "en"} for n in range(USERS)]
    feat = {
        "type": "define-achievement",
        "achievement_name": f"feat-{run} \u2603",
        "achievement_description": "",
        "achievement_language": "en",
    }
    awards = [
        {
            "type": "award-achievement",
            "username": f"user-{run}-{n % USERS}",
            "achievement_name": feat["achievement_name"],
        }
        for n in range(5 * USERS)
    ]
    answer = httpx.post(
        f"{api.url}{API}/commands", json=[*users, feat, *awards], headers={"Prefer": "respond-async"}, timeout=SECONDS
    )
    assert {201} == {result["status"] for result in answer.json()}, answer.text
    return int(answer.headers["Event-Position"])


def published_up_to(scene: Parts) -> int:
    return int(scene.fetch(LEASE)[0]["position"])


def wait_until_published(scene: Parts, position: int) -> None:
    eventually(lambda: published_up_to(scene) >= position, f"position {position} is published")


def published_by(relay: Service) -> int:
    """Return how many events a relay says that it published."""
    found = re.search(r"^laurels_published_events_total (\S+)$", httpx.get(f"{relay.url}/metrics").text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def topic_of(scene: Parts) -> list[Any]:
    return records_of(scene.bootstrap_servers, scene.topic, PARTITIONS)


def header(record: Any, name: str) -> str:  # noqa: ANN401 - aiokafka ships no types
    return str(dict(record.headers)[name].decode())


def positions_in(records: list[Any]) -> list[int]:
    return sorted(int(header(record, "ce_position")) for record in records)


def assert_chained(records: list[Any]) -> None:
    """Hold each partition to its order: positions rise, and each record names the one before it."""
    for _, found in groupby(records, key=lambda record: record.partition):
        last = 0
        for record in found:
            assert str(last) == header(record, "ce_previous")
            assert int(header(record, "ce_position")) > last
            last = int(header(record, "ce_position"))


def test_the_topic_has_what_the_log_has(scene: Parts) -> None:
    """Every event is one CloudEvent, in position order within its partition, with the position before it."""
    api, _ = scene.start("command_api"), scene.start("relay")

    wait_until_published(scene, append(api))

    records = topic_of(scene)
    events = scene.fetch(EVENTS)
    assert [(e["partition"], e["position"]) for e in events] == [
        (record.partition, int(header(record, "ce_position"))) for record in records
    ]
    assert_chained(records)
    assert len({record.partition for record in records}) == PARTITIONS
    for event, record in zip(events, records, strict=True):
        assert_is_the_cloud_event(event, record)


def assert_is_the_cloud_event(event: asyncpg.Record, record: Any) -> None:  # noqa: ANN401 - aiokafka ships no types
    headers = {name: value.decode() for name, value in record.headers}
    expected = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": str(event["event_id"]),
        "ce_type": event["type"],
        "ce_position": str(event["position"]),
        "ce_schemaversion": str(event["schema_version"]),
    }
    assert expected == {name: headers[name] for name in expected}
    assert headers["ce_source"]
    assert event["recorded_at"] == datetime.fromisoformat(headers["ce_time"])
    assert event["user_id"] == (int(headers["ce_subject"]) if "ce_subject" in headers else None)
    assert event["user_id"] == (int(record.key) if record.key is not None else None)
    assert orjson.loads(event["text"]) == orjson.loads(record.value)


def test_a_second_relay_waits_for_the_death_of_the_first(scene: Parts) -> None:
    """It publishes nothing while the first lives, and goes on where that one was killed."""
    api, first = scene.start("command_api"), scene.start("relay")
    wait_until_published(scene, append(api, 1))
    second = scene.start("relay", 1)
    before = append(api, 2)
    wait_until_published(scene, before)
    eventually(lambda: published_by(first) == before, "the first says how much it published")
    idle = published_by(second)

    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    last = append(api, 3)
    wait_until_published(scene, last)

    assert 0 == idle
    eventually(lambda: published_by(second) == last - before, "the second says how much it published")
    records = topic_of(scene)
    assert list(range(1, last + 1)) == positions_in(records)
    assert_chained(records)


def test_a_relay_that_is_killed_in_the_middle_loses_nothing(scene: Parts) -> None:
    """Whatever a crash leaves half done is published by the next one; what comes twice is the same record."""
    api, first = scene.start("command_api"), scene.start("relay")
    append(api, 1)
    eventually(lambda: published_up_to(scene) > 0, "something is published")
    for run in range(2, 8):
        last = append(api, run)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()

    scene.start("relay", 1)
    wait_until_published(scene, last)

    records = topic_of(scene)
    assert set(range(1, last + 1)) == set(positions_in(records))
    seen = {(header(r, "ce_position"), header(r, "ce_id"), header(r, "ce_previous"), r.partition) for r in records}
    assert last == len(seen)


def test_a_relay_without_the_lease_moves_nothing(scene: Parts) -> None:
    """Once somebody else has raised the epoch, the checkpoint stays where it is, until the lease is taken anew."""
    api, relay = scene.start("command_api"), scene.start("relay")
    at = append(api, 1)
    wait_until_published(scene, at)

    with_lock = synchronously(asyncpg.connect(scene.database_url))
    try:
        # Whoever loses the lease gives up its lock, and so we have it before the relay can come back.
        waiting = asyncio.run_coroutine_threadsafe(with_lock.execute(THE_LOCK), synchronously(running_loop()))
        eventually(lambda: waiters(scene) == 1, "we wait for the lock")
        # Renewed far ahead, so that it does not run out while we look.
        scene.fetch("UPDATE write_model.relay_lease SET epoch = epoch + 1, renewed_at = now() + interval '1 hour'")
        last = append(api, 2)
        waiting.result(SECONDS)
        fenced_at = published_up_to(scene)
        alive = relay.process.poll() is None
    finally:
        synchronously(with_lock.close())
    wait_until_published(scene, last)

    assert at == fenced_at
    assert alive
    assert set(range(1, last + 1)) == set(positions_in(topic_of(scene)))


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def waiters(scene: Parts) -> int:
    rows = scene.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return int(rows[0]["count"])


def test_a_relay_that_hangs_is_replaced(scene: Parts) -> None:
    """Another one takes the lease after a while; when the first wakes up, nothing moves back and nothing is lost."""
    api, first = scene.start("command_api"), scene.start("relay")
    wait_until_published(scene, append(api, 1))
    second = scene.start("relay", 1)

    first.process.send_signal(signal.SIGSTOP)
    middle = append(api, 2)
    wait_until_published(scene, middle)
    by_second = published_by(second)
    first.process.send_signal(signal.SIGCONT)
    last = append(api, 3)
    wait_until_published(scene, last)
    eventually(lambda: published_by(first) + published_by(second) >= last, "both say how much they published")

    assert by_second > 0
    assert last == published_up_to(scene)
    assert set(range(1, last + 1)) == set(positions_in(topic_of(scene)))


def test_a_lost_connection_ends_no_relay(scene: Parts) -> None:
    """The backend of the one that publishes can be killed: it comes back, or the other goes on, and nothing is lost."""
    api, _, _ = scene.start("command_api"), scene.start("relay"), scene.start("relay", 1)
    wait_until_published(scene, append(api, 1))
    epoch = scene.fetch(LEASE)[0]["epoch"]

    scene.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = 'laurels_relay')"
    )
    last = append(api, 2)
    wait_until_published(scene, last)

    assert scene.fetch(LEASE)[0]["epoch"] > epoch
    assert set(range(1, last + 1)) == set(positions_in(topic_of(scene)))


def test_without_kafka_commands_are_accepted_and_published_later(own_broker: KafkaBroker, tmp_path: Path) -> None:
    """The log needs no broker: 201 with Event-Applied false, and all of it arrives once Kafka is back."""
    settings = {"LAURELS_PARTITIONS": str(PARTITIONS)}
    with parts(tmp_path, own_broker.bootstrap_servers, settings) as scene:
        api = scene.start("command_api")
        for name in ("relay", "projector"):
            scene.start(name)
        reads = scene.start("query_api")
        wait_until_read(reads, append(api, 1))

        own_broker.kill()
        accepted = httpx.post(
            f"{api.url}{API}/users/", json={"username": "unpublished", "user_language": "en"}, timeout=SECONDS
        )
        last = append(api, 2)
        own_broker.start()
        wait_until_published(scene, last)
        wait_until_read(reads, last)
        records = topic_of(scene)

    assert 201 == accepted.status_code
    assert "false" == accepted.headers["Event-Applied"]
    assert set(range(1, last + 1)) == set(positions_in(records))


def wait_until_read(reads: Service, position: int) -> None:
    """Wait until reads show everything up to a position."""
    path = f"{reads.url}{API}/users/?limit=1&min_position={position}"
    headers = {"Prefer": "wait=5"}
    eventually(lambda: httpx.get(path, headers=headers, timeout=SECONDS).status_code == 200, f"reads show {position}")
