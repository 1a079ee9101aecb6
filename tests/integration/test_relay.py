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

from tests.support.deployments import Parts, compose_services, parts
from tests.support.kafka import KafkaBroker, SharedBroker, kafka_or_skip, start_broker
from tests.support.processes import Service, run
from tests.support.synchronously import synchronously
from tests.support.topic import configure, records_of, recreate

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
    for number in range(2, 8):
        last = append(api, number)
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


def test_an_idle_relay_publishes_again_when_it_is_told_to(scene: Parts) -> None:
    """`laurels republish` needs no command to follow: an idle relay finds out that it was sent back."""
    api, relay = scene.start("command_api"), scene.start("relay")
    last = append(api)
    wait_until_published(scene, last)

    done = run(["laurels", "republish"], environment=scene.environment)
    eventually(lambda: published_by(relay) == 2 * last, "everything is published again")

    assert 0 == done.returncode
    assert [position for position in range(1, last + 1) for _ in range(2)] == positions_in(topic_of(scene))


def test_a_refused_topic_is_named(kafka: SharedBroker, tmp_path: Path) -> None:
    """Where the broker will not make the topic, `/ready`, the log, the metrics and `laurels status` say why."""
    settings = {"LAURELS_PARTITIONS": str(PARTITIONS), "LAURELS_KAFKA_REPLICATION": "3"}
    with parts(tmp_path, kafka.bootstrap_servers, settings) as scene:
        scene.start("command_api")
        relay = scene.launch("relay-0", compose_services()["relay"]["command"])
        eventually(lambda: "cannot be created" in unready(relay), "the relay says why it is not ready")
        began = relay.log.read_text().count("\n")
        time.sleep(5)
        lines = relay.log.read_text().count("\n") - began
        metrics = httpx.get(f"{relay.url}/metrics").text
        status = run(["laurels", "status"], environment=scene.environment).stdout
        said = unready(relay)

    assert "replication factor of 3" in said
    assert lines <= 10
    assert re.search(r'^laurels_relay_trouble{cause="the topic \S+ cannot be created', metrics, re.MULTILINE)
    assert "cannot be created" in status


def test_missing_partitions_are_added(scene: Parts) -> None:
    """A topic that a broker made by itself, with fewer partitions than the log, gets the others, and loses nothing."""
    recreate(scene.bootstrap_servers, scene.topic, 1)
    api, relay = scene.start("command_api"), scene.start("relay")
    last = append(api)
    wait_until_published(scene, last)

    assert "some were added" in relay.log.read_text()
    assert list(range(1, last + 1)) == positions_in(topic_of(scene))


def test_a_topic_remade_with_too_few_partitions_under_a_relay_is_filled(scene: Parts) -> None:
    """A relay that meets a partition which is gone begins again, and brings the topic to what the log needs."""
    api, _ = scene.start("command_api"), scene.start("relay")
    wait_until_published(scene, append(api, 1))

    recreate(scene.bootstrap_servers, scene.topic, 1)
    for number in range(2, 5):
        last = append(api, number)
        wait_until_published(scene, last)

    eventually(lambda: positions_in(topic_of(scene))[-1:] == [last], "the newest event is in the topic")


def test_more_partitions_than_the_log_has_stay_empty(scene: Parts) -> None:
    """They harm nobody: the relay says so and publishes."""
    recreate(scene.bootstrap_servers, scene.topic, PARTITIONS + 2)
    api, relay = scene.start("command_api"), scene.start("relay")
    last = append(api)
    wait_until_published(scene, last)

    assert "some stay empty" in relay.log.read_text()
    assert list(range(1, last + 1)) == positions_in(topic_of(scene))


def test_an_event_too_large_for_the_topic_is_named(scene: Parts) -> None:
    """Position, size and limit are said; what goes before is published once, what follows waits, in order."""
    api, relay = scene.start("command_api"), scene.start("relay")
    before = append(api, 1)
    wait_until_published(scene, before)
    configure(scene.bootstrap_servers, scene.topic, {"max.message.bytes": "1000"})

    define(api, "small")
    large = define(api, "large", description="x" * 1_500)
    last = append(api, 2)
    eventually(lambda: f"position {large} " in unready(relay), "the relay says which event it is")
    stuck = positions_in(topic_of(scene))
    time.sleep(5)
    said, later = unready(relay), positions_in(topic_of(scene))
    configure(scene.bootstrap_servers, scene.topic, {})
    wait_until_published(scene, last)
    eventually(lambda: httpx.get(f"{relay.url}/ready").is_success, "the relay is ready again")

    assert "takes 1000" in said
    assert set(range(1, large)) <= set(stuck)
    # What follows is not published again with every attempt.
    assert stuck == later
    assert set(range(1, last + 1)) == set(positions_in(topic_of(scene)))


def define(api: Service, name: str, description: str = "") -> int:
    achievement = {"achievement_name": name, "achievement_description": description, "achievement_language": "en"}
    answer = httpx.post(f"{api.url}{API}/users/achievements", json=achievement, timeout=SECONDS)
    assert 201 == answer.status_code, answer.text
    return int(answer.headers["Event-Position"])


def unready(service: Service) -> str:
    """Return why a service is not ready, nothing while it is, or while it does not serve yet."""
    try:
        answer = httpx.get(f"{service.url}/ready", timeout=5)
    except httpx.HTTPError:
        return ""
    return str(answer.json()["detail"]) if answer.status_code == 503 else ""


def test_no_progress_is_not_ready(own_broker: KafkaBroker, tmp_path: Path) -> None:
    """Without Kafka, and with a projector that hangs, both say for how long nothing has moved, in few lines."""
    settings = {"LAURELS_PARTITIONS": str(PARTITIONS)}
    with parts(tmp_path, own_broker.bootstrap_servers, settings) as scene:
        api, relay, projector = (scene.start(name) for name in ("command_api", "relay", "projector"))
        reads = scene.start("query_api")
        wait_until_read(reads, append(api, 1))
        assert "" == unready(relay) == unready(projector)

        own_broker.kill()
        began = {service.name: service.log.read_text().count("\n") for service in (relay, projector)}
        # The check must not need the projector to know: here its backend waits for a lock.
        held = synchronously(asyncpg.connect(scene.database_url))
        synchronously(held.execute("BEGIN; SELECT FROM progress FOR UPDATE"))
        append(api, 2)
        eventually(lambda: "no progress for 3" in unready(relay), "the relay says that nothing moves")
        eventually(lambda: "no progress at position" in unready(projector), "the projector says that nothing moves")
        status = run(["laurels", "status"], environment=scene.environment).stdout
        grown = {s.name: s.log.read_text().count("\n") - began[s.name] for s in (relay, projector)}
        synchronously(held.close())
        own_broker.start()
        eventually(lambda: unready(relay) == unready(projector) == "", "both are ready again")

    assert "no progress: " in status
    # Tens of lines a second, if each attempt were told.
    assert all(lines < 100 for lines in grown.values()), grown


def test_the_metrics_say_where_the_log_is(scene: Parts) -> None:
    """Relay and projector export the positions that the database has, not 0."""
    api, relay, projector = (scene.start(name) for name in ("command_api", "relay", "projector"))
    last = append(api)
    wait_until_published(scene, last)

    eventually(lambda: gauge(projector, "laurels_read_position") == last, "everything is projected")
    assert [last] * 3 == [gauge(service, "laurels_log_position") for service in (api, relay, projector)]
    assert last == gauge(relay, "laurels_published_position")
    assert 0 == gauge(projector, 'laurels_partition_lag{partition="0"}')


def gauge(service: Service, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(f"{service.url}/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])
