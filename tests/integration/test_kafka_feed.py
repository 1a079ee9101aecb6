"""The projectors' feed from a real Kafka: shared partitions, duplicates, gaps, strange records and a lost topic."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from shared.events.cloudevents import to_headers
from shared.events.envelope import RecordedEvent
from tests.support.deployments import Parts, compose_services, parts
from tests.support.kafka import KafkaBroker, SharedBroker, kafka_or_skip, start_broker
from tests.support.processes import Service, free_port, run
from tests.support.rebuild import unequal_rows
from tests.support.synchronously import synchronously
from tests.support.topic import (
    add_partitions,
    configure,
    delete_records,
    delete_topic,
    flip_a_byte,
    make_topic,
    produce,
    produce_many,
    produce_with_header,
    records_of,
    recreate,
)

API = "/api/v1"
SECONDS = 60.0
PARTITIONS = 4
USERS = 12
POINTS = 7
FLOOD = 60_000
FLOOD_SECONDS = 10.0
SETTINGS = {"LAURELS_PARTITIONS": str(PARTITIONS), "LAURELS_KAFKA_SESSION_TIMEOUT_MS": "3000"}
IN_LOG = """
SELECT user_id, count(*) AS total_achievements, (count(*) * 7)::bigint AS total_points
FROM events WHERE type = 'achievement-awarded' GROUP BY user_id ORDER BY user_id
"""
IN_READS = """
SELECT user_id, total_achievements, total_points FROM generation_1.user_totals
WHERE total_achievements > 0 ORDER BY user_id
"""
AWARDS_IN_LOG = "SELECT position FROM events WHERE type = 'achievement-awarded' ORDER BY 1"
AWARDS_IN_READS = "SELECT award_id FROM generation_1.user_awards ORDER BY 1"
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
UNPUBLISH = """
UPDATE write_model.relay_lease
SET position = 0, partition_positions = array_fill(0::bigint, ARRAY[cardinality(partition_positions)])
"""
EVENTS = """
SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events ORDER BY position
"""


@pytest.fixture
def scene(kafka: SharedBroker, tmp_path: Path) -> Iterator[Parts]:
    """Give a database and a topic of the test's own, with no service running yet."""
    with parts(tmp_path, kafka.bootstrap_servers, SETTINGS) as scene:
        yield scene


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """Give a broker of the test's own, which makes topics by itself as brokers do by default."""
    with kafka_or_skip():
        broker = start_broker(tmp_path / "kafka", {"auto.create.topics.enable": "true"})
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def own_scene(own_broker: KafkaBroker, tmp_path: Path) -> Iterator[Parts]:
    """Give a scene over that broker."""
    with parts(tmp_path, own_broker.bootstrap_servers, SETTINGS) as scene:
        yield scene


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what}: it never came true"
        time.sleep(0.05)


def post(api: Service, commands: Sequence[object]) -> int:
    """Post commands that are all accepted; return the last position."""
    answer = httpx.post(f"{api.url}{API}/commands", json=commands, headers={"Prefer": "respond-async"}, timeout=SECONDS)
    assert {201} == {result["status"] for result in answer.json()}, answer.text
    return int(answer.headers["Event-Position"])


def given_users(api: Service) -> int:
    """Register users in every partition, and define what they earn."""
    feat = {
        "type": "define-achievement",
        "achievement_name": "feat",
        "achievement_description": "",
        "achievement_language": "en",
        "achievement_point": POINTS,
    }
    users = [{"type": "create-user", "username": f"user-{n}", "user_language": "en"} for n in range(USERS)]
    return post(api, [feat, *users])


def award_everybody(api: Service) -> int:
    award = {"type": "award-achievement", "achievement_name": "feat"}
    return post(api, [award | {"username": f"user-{n % USERS}"} for n in range(3 * USERS)])


def projected_up_to(scene: Parts) -> int:
    return int(scene.fetch("SELECT read_position(1)")[0][0])


def wait_until_projected(scene: Parts, position: int) -> None:
    eventually(lambda: projected_up_to(scene) >= position, f"position {position} is projected")


def wait_until_published(scene: Parts, position: int) -> None:
    lease = "SELECT position FROM write_model.relay_lease"
    eventually(lambda: scene.fetch(lease)[0][0] >= position, f"position {position} is published")


def projected_by(projector: Service) -> float:
    """Return how many events a projector says that it projected."""
    found = re.search(
        r"^laurels_projected_events_total (\S+)$", httpx.get(f"{projector.url}/metrics").text, re.MULTILINE
    )
    assert found is not None
    return float(found[1])


def assert_reads_are_the_log(scene: Parts) -> None:
    """Hold the read models against a count of the log, and every row against a projection that nothing disturbed."""
    assert list(map(tuple, scene.fetch(IN_LOG))) == list(map(tuple, scene.fetch(IN_READS)))
    assert list(map(tuple, scene.fetch(AWARDS_IN_LOG))) == list(map(tuple, scene.fetch(AWARDS_IN_READS)))
    assert [] == scene.fetch("SELECT * FROM quarantine")
    assert {} == synchronously(unequal_rows(scene.database_url))


def records(scene: Parts) -> list[Any]:
    return records_of(scene.bootstrap_servers, scene.topic, PARTITIONS)


def test_projectors_share_the_partitions(scene: Parts) -> None:
    """Each of two does a part of the work; when one is killed, the other does all of it, and nothing is twice."""
    api, _ = scene.start("command_api"), scene.start("relay")
    first, second = scene.start("projector", 0), scene.start("projector", 1)
    given_users(api)

    eventually(
        lambda: award_everybody(api) and projected_by(first) > 0 < projected_by(second), "both have a part of the work"
    )
    wait_until_projected(scene, award_everybody(api))
    assert_reads_are_the_log(scene)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    wait_until_projected(scene, award_everybody(api))

    assert_reads_are_the_log(scene)


def test_a_projector_that_joins_takes_its_part(scene: Parts) -> None:
    """Partitions that move in the middle of the work neither lose nor repeat anything."""
    api, _, first = scene.start("command_api"), scene.start("relay"), scene.start("projector", 0)
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    second = scene.start("projector", 1)
    eventually(lambda: award_everybody(api) and projected_by(second) > 0, "the second has a part of the work")
    wait_until_projected(scene, award_everybody(api))

    assert_reads_are_the_log(scene)
    assert 0 == first.stop()
    wait_until_projected(scene, award_everybody(api))
    assert_reads_are_the_log(scene)


def test_duplicates_change_nothing(scene: Parts) -> None:
    """A topic in which everything stands twice gives the same rows."""
    api, relay, _ = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    once = award_everybody(api)
    wait_until_projected(scene, once)
    relay.stop()

    scene.fetch(UNPUBLISH)
    scene.start("relay", 1)
    # What comes after the duplicates, in every partition, can only be read by going through them.
    last = award_everybody(api)
    wait_until_projected(scene, last)
    wait_until_published(scene, last)

    assert once + last == len(records(scene))
    assert_reads_are_the_log(scene)


def test_a_gap_is_filled_from_the_log(scene: Parts) -> None:
    """A record that names a predecessor which never came brings in, from the log, all that is missing before it."""
    api, projector = scene.start("command_api"), scene.start("projector")
    given_users(api)
    last = award_everybody(api)

    previous, newest = last_two_by_partition(scene.fetch(EVENTS))
    for partition, event in newest.items():
        headers = to_headers(event, previous[partition].position)
        produce(scene.bootstrap_servers, scene.topic, partition, headers, event.data.encode())
    wait_until_projected(scene, last)

    assert "misses events" in projector.log.read_text()
    assert PARTITIONS == len(records(scene))
    assert_reads_are_the_log(scene)


def last_two_by_partition(
    rows: Sequence[asyncpg.Record],
) -> tuple[dict[int, RecordedEvent], dict[int, RecordedEvent]]:
    """Return the last event but one and the last one of every partition."""
    previous: dict[int, RecordedEvent] = {}
    newest: dict[int, RecordedEvent] = {}
    for row in rows:
        event = RecordedEvent(**row)
        if event.partition in newest:
            previous[event.partition] = newest[event.partition]
        newest[event.partition] = event
    return previous, newest


def test_without_any_record_the_log_fills_in(scene: Parts) -> None:
    """What Kafka does not bring for long, as with a relay that is down, is taken from the log."""
    api, _ = scene.start("command_api"), scene.start("projector")
    given_users(api)

    wait_until_projected(scene, award_everybody(api))

    assert [] == records(scene)
    assert_reads_are_the_log(scene)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], b"not even JSON"),
        ([("ce_position", b"1"), ("ce_previous", b"x")], b"{}"),
        ([("ce_position", b"\xff"), ("ce_previous", b"0")], b""),
    ],
)
def test_a_strange_record_is_quarantined(scene: Parts, headers: list[tuple[str, bytes]], value: bytes) -> None:
    """What is no event of ours stops nobody: it is kept in quarantine, once, and everything else goes on."""
    api, relay, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    produce(scene.bootstrap_servers, scene.topic, 0, headers, value)
    wait_until_projected(scene, award_everybody(api))
    kept = scene.fetch("SELECT partition, record FROM quarantine")

    assert [(0, value)] == [(row["partition"], row["record"]) for row in kept]
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)
    assert relay.process.poll() is projector.process.poll() is None


def test_a_flood_of_strange_records_is_one_row(scene: Parts) -> None:
    """A run of alike records is one row and one line, holds up nobody, and is not kept again after a restart."""
    api, _, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    produce_many(scene.bootstrap_servers, scene.topic, 1, [b"flood %d" % n for n in range(FLOOD)])
    began = time.monotonic()
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: records_kept(scene) == FLOOD, "all of the flood is in quarantine")
    seconds = time.monotonic() - began
    projector.stop()
    again = scene.start("projector", 1)
    produce(scene.bootstrap_servers, scene.topic, 1, [], b"one more")
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: records_kept(scene) == FLOOD + 1, "one more is in quarantine")

    # A row each took half a minute.
    assert seconds < FLOOD_SECONDS
    assert [b"flood 0"] == [row["record"] for row in scene.fetch("SELECT record FROM quarantine LIMIT 1")]
    assert 2 >= len(scene.fetch("SELECT FROM quarantine"))
    assert 1 == projector.log.read_text().count("quarantined")
    assert 1 >= again.log.read_text().count("quarantined")
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


def records_kept(scene: Parts) -> int:
    kept = "SELECT coalesce(sum(coalesce(last_offset, kafka_offset) - kafka_offset + 1), 0) FROM quarantine"
    return int(scene.fetch(kept)[0][0])


def test_another_topic_than_the_relays_is_named(scene: Parts) -> None:
    """Projectors that read another topic go by the log, and `/ready`, the log, metrics and `laurels status` say why."""
    api, _ = scene.start("command_api"), scene.start("relay")
    other = replace(scene, environment={**scene.environment, "LAURELS_KAFKA_TOPIC": f"{scene.topic}-other"})
    projector = other.start("projector")
    given_users(api)

    wait_until_projected(scene, award_everybody(api))
    why = f"the relay publishes to {scene.topic}, and {scene.topic}-other is read here"
    eventually(lambda: why in httpx.get(f"{projector.url}/ready").text, "it says why it goes by the log")

    ready = httpx.get(f"{projector.url}/ready")
    assert 200 == ready.status_code
    assert "degraded" == ready.json()["status"]
    assert "is filled from the log" in projector.log.read_text()
    told = f'laurels_partition_trouble{{cause="taken from the log: {why}",partition="0"}} 1.0'
    eventually(lambda: told in metrics(projector), "the metrics say why")
    status = json.loads(run(["laurels", "status", "--json"], environment=scene.environment).stdout)
    assert [f"taken from the log: {why}"] * PARTITIONS == [part["trouble"] for part in status["partitions"]]


def metrics(service: Service) -> str:
    return httpx.get(f"{service.url}/metrics").text


def test_a_lost_topic_is_survived(scene: Parts) -> None:
    """The topic deleted and made anew: what comes then is published and projected, and the log has the rest."""
    api, _, _ = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    before = award_everybody(api)
    wait_until_projected(scene, before)
    wait_until_published(scene, before)

    recreate(scene.bootstrap_servers, scene.topic, PARTITIONS)
    for _ in range(3):
        last = award_everybody(api)
        wait_until_projected(scene, last)
        wait_until_published(scene, last)

    assert_reads_are_the_log(scene)
    positions = {int(dict(record.headers)["ce_position"]) for record in records(scene)}
    assert set(range(before + 1, last + 1)) <= positions


def test_records_that_vanish_unread_come_from_the_log(scene: Parts) -> None:
    """Where retention deleted what no projector had read, the first record that is left brings in what precedes it."""
    api, _ = scene.start("command_api"), scene.start("relay")
    given_users(api)
    last = award_everybody(api)
    wait_until_published(scene, last)

    keep_the_last_records(scene)
    projector = scene.start("projector")
    wait_until_projected(scene, last)

    assert "misses events" in projector.log.read_text()
    assert_reads_are_the_log(scene)


def keep_the_last_records(scene: Parts) -> None:
    ends = {record.partition: record.offset for record in records(scene)}
    assert set(range(PARTITIONS)) == set(ends)
    delete_records(scene.bootstrap_servers, scene.topic, ends)
    assert PARTITIONS == len(records(scene))


def test_a_compacted_topic_is_survived(scene: Parts) -> None:
    """Where each user's last record alone is left, the log has the others."""
    api, _ = scene.start("command_api"), scene.start("relay")
    given_users(api)
    wait_until_published(scene, award_everybody(api))

    configure(scene.bootstrap_servers, scene.topic, COMPACTED)
    eventually(lambda: published(scene, award_everybody(api)) > len(records(scene)), "older records vanish")
    projector = scene.start("projector")
    last = award_everybody(api)
    wait_until_projected(scene, last)

    assert "misses events" in projector.log.read_text()
    assert_reads_are_the_log(scene)


def published(scene: Parts, position: int) -> int:
    wait_until_published(scene, position)
    return position


def test_an_offset_beyond_the_end_is_survived(scene: Parts) -> None:
    """Where the topic was cut back behind what was read of it, the projector begins anew and counts nothing twice."""
    api, _, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))
    projector.stop()

    scene.fetch("UPDATE progress SET kafka_offset = kafka_offset + 1000000")
    scene.start("projector", 1)
    wait_until_projected(scene, award_everybody(api))

    assert_reads_are_the_log(scene)
    assert_offsets_are_in_the_topic(scene)


def test_an_offset_before_the_start_is_survived(scene: Parts) -> None:
    """Where what comes next was deleted unread, the projector goes on with what is left, and the log has the rest."""
    api, _, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))
    projector.stop()

    last = award_everybody(api)
    wait_until_published(scene, last)
    keep_the_last_records(scene)
    scene.start("projector", 1)
    wait_until_projected(scene, last)

    assert_reads_are_the_log(scene)
    assert_offsets_are_in_the_topic(scene)


def assert_offsets_are_in_the_topic(scene: Parts) -> None:
    """See that every partition is read again from where its records are."""
    ends = {record.partition: record.offset + 1 for record in records(scene)}
    assert ends == dict(map(tuple, scene.fetch("SELECT partition, kafka_offset FROM progress WHERE generation = 1")))


def test_a_byte_that_flipped_on_the_broker_stops_one_batch(own_scene: Parts, own_broker: KafkaBroker) -> None:
    """Records that the client cannot read come from the log; those after them are read, and quarantined, as ever."""
    scene = own_scene
    api, _ = scene.start("command_api"), scene.start("relay")
    given_users(api)
    wait_until_published(scene, award_everybody(api))
    for partition in range(1, PARTITIONS):
        flip_a_byte(own_broker.data / "storage", scene.topic, partition, offset=3)
    produce(scene.bootstrap_servers, scene.topic, 1, [], b"behind the damage")

    projector = scene.start("projector")
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: len(kept(scene)) >= PARTITIONS, "what was found is in quarantine")
    projector.stop()
    again = scene.start("projector", 1)
    started = time.monotonic()
    wait_until_projected(scene, award_everybody(api))

    assert time.monotonic() - started < 10
    assert {(p, None) for p in range(1, PARTITIONS)} | {(1, b"behind the damage")} == set(kept(scene))
    assert "cannot be read, and come from the log: CorruptRecordException" in projector.log.read_text()
    eventually(lambda: not unwell(again), "the projector is well")
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


def kept(scene: Parts) -> list[tuple[int, bytes | None]]:
    """Return partition and bytes of what is in quarantine."""
    return [(row["partition"], row["record"]) for row in scene.fetch("SELECT partition, record FROM quarantine")]


def test_a_header_name_that_is_no_text_stops_nothing(scene: Parts) -> None:
    """The client cannot read such a record at all: it is passed over and noted, after every start again, once."""
    api, _, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    produce_with_header(scene.bootstrap_servers, scene.topic, 0, b"\xff\xfe", b"value")
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: kept(scene), "it is noted")
    projector.stop()
    scene.fetch("UPDATE progress SET kafka_offset = 0")
    scene.start("projector", 1)
    wait_until_projected(scene, award_everybody(api))

    assert [(0, None)] == kept(scene)
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


def test_data_nested_beyond_measure_come_from_the_log(scene: Parts) -> None:
    """A record of ours whose data PostgreSQL cannot even parse is quarantined with its bytes; the log has the event."""
    api, _ = scene.start("command_api"), scene.start("projector")
    given_users(api)
    last = award_everybody(api)

    previous, newest = last_two_by_partition(scene.fetch(EVENTS))
    for partition, event in newest.items():
        headers = to_headers(event, previous[partition].position)
        produce(scene.bootstrap_servers, scene.topic, partition, headers, b"[" * 100_000)
    wait_until_projected(scene, last)

    eventually(lambda: len(kept(scene)) == PARTITIONS, "they are quarantined")
    assert {(p, b"[" * 100_000) for p in range(PARTITIONS)} == set(kept(scene))
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_a_topic_may_be_compressed(scene: Parts, compression: str) -> None:
    """Whatever the broker packs records with is read, without help from the log."""
    api, relay = scene.start("command_api"), scene.start("relay")
    given_users(api)
    configure(scene.bootstrap_servers, scene.topic, {"compression.type": compression})
    last = award_everybody(api)
    wait_until_published(scene, last)
    projector = scene.start("projector")

    wait_until_projected(scene, award_everybody(api))

    assert "from the log" not in projector.log.read_text()
    assert relay.process.poll() is None
    assert_reads_are_the_log(scene)


def test_an_event_in_a_foreign_partition_moves_nothing(scene: Parts) -> None:
    """Copies of genuine records ahead of a partition's own are quarantined, and no award is lost for them."""
    api, projector = scene.start("command_api"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))
    hold = scene.fetch("SELECT position FROM log_head")[0][0]
    last = award_everybody(api)
    rows = [RecordedEvent(**row) for row in scene.fetch(EVENTS) if row["position"] > hold]

    for event in rows[-PARTITIONS:]:
        foreign = (event.partition + 1) % PARTITIONS
        produce(scene.bootstrap_servers, scene.topic, foreign, to_headers(event, 0), event.data.encode())
    scene.start("relay")
    wait_until_projected(scene, last)

    eventually(lambda: len(kept(scene)) == PARTITIONS, "they are quarantined")
    assert {event.data.encode() for event in rows[-PARTITIONS:]} == {record for _, record in kept(scene)}
    assert projector.process.poll() is None
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)
    assert [] == scene.fetch("SELECT * FROM generation_1.incomplete_users")


@pytest.mark.parametrize("claim", ["position", "user", "id", "partition", "beyond"])
def test_the_log_is_believed_over_a_record(scene: Parts, claim: str) -> None:
    """A record that says of itself what the log does not say of that event is quarantined, and moves nothing."""
    api = scene.start("command_api")
    given_users(api)
    last = award_everybody(api)
    forged = forge(claim, [RecordedEvent(**row) for row in scene.fetch(EVENTS)])
    make_topic(scene.bootstrap_servers, scene.topic, PARTITIONS)

    produce(scene.bootstrap_servers, scene.topic, forged.partition, to_headers(forged, 0), forged.data.encode())
    scene.start("projector")
    scene.start("relay")
    wait_until_projected(scene, last)

    eventually(lambda: kept(scene), "it is quarantined")
    assert [(forged.partition, forged.data.encode())] == kept(scene)
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


def forge(claim: str, events: Sequence[RecordedEvent]) -> RecordedEvent:
    """Return the last event of partition 1, with one claim that is false."""
    *_, before, event = (event for event in events if event.partition == 1)
    assert event.user_id is not None
    match claim:
        case "position":
            return replace(event, position=before.position)
        case "user":
            return replace(event, user_id=event.user_id + PARTITIONS)
        case "id":
            return replace(event, event_id=before.event_id)
        case "partition":
            return replace(event, partition=2)
        case _:
            return replace(event, position=event.position + 10**12)


def test_partitions_that_the_topic_lost_are_read_from_the_log(scene: Parts) -> None:
    """A topic made again with one partition: all of the log's are some projector's, until a relay adds the others."""
    api, relay = scene.start("command_api"), scene.start("relay")
    projectors = [scene.start("projector", number) for number in range(2)]
    given_users(api)
    wait_until_projected(scene, award_everybody(api))
    relay.stop()

    recreate(scene.bootstrap_servers, scene.topic, 1)
    cause = f"has only 1 of the log's {PARTITIONS} partitions"
    eventually(lambda: any(cause in unwell(projector) for projector in projectors), "a projector names the cause")
    wait_until_projected(scene, award_everybody(api))
    assert_reads_are_the_log(scene)
    scene.start("relay", 1)
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: award_everybody(api) and not any(map(unwell, projectors)), "all is well again")

    wait_until_projected(scene, award_everybody(api))
    assert_reads_are_the_log(scene)


def unwell(projector: Service) -> str:
    """Return what a projector says is missing or degraded, nothing when all is well."""
    try:
        answer = httpx.get(f"{projector.url}/ready", timeout=SECONDS)
    except httpx.TransportError as error:
        return repr(error)
    return "" if answer.json().get("status") == "ready" else answer.text


def test_partitions_beyond_those_of_the_log_change_nothing(scene: Parts) -> None:
    """A topic that is given more partitions while all runs goes on, and what strangers put there is quarantined."""
    api, _, first = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    add_partitions(scene.bootstrap_servers, scene.topic, PARTITIONS + 2)
    produce(scene.bootstrap_servers, scene.topic, PARTITIONS, [], b"strange")
    wait_until_projected(scene, award_everybody(api))
    eventually(lambda: kept(scene) == [(PARTITIONS, b"strange")], "the stranger's record is quarantined")
    first.stop()
    again = scene.start("projector", 1)
    wait_until_projected(scene, award_everybody(api))

    assert "" == unwell(again)
    scene.fetch("DELETE FROM quarantine")
    assert_reads_are_the_log(scene)


def test_a_topic_that_the_broker_makes_again_is_survived(own_scene: Parts) -> None:
    """Deleted while all runs, it comes back as whoever asks first has it; everything is projected, without a hand."""
    scene = own_scene
    api, _ = scene.start("command_api"), scene.start("relay")
    projectors = [scene.start("projector", number) for number in range(2)]
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    delete_topic(scene.bootstrap_servers, scene.topic)
    for _ in range(3):
        wait_until_projected(scene, award_everybody(api))
    eventually(lambda: award_everybody(api) and not any(map(unwell, projectors)), "all is well again")

    wait_until_projected(scene, award_everybody(api))
    assert_reads_are_the_log(scene)


def test_a_feed_survives_a_broker_and_a_database_that_go_together(own_scene: Parts, own_broker: KafkaBroker) -> None:
    """While the broker is away the log is read, its cause is named in few lines, and all ends well when it is back."""
    scene = own_scene
    api, _, projector = scene.start("command_api"), scene.start("relay"), scene.start("projector")
    given_users(api)
    wait_until_projected(scene, award_everybody(api))

    own_broker.kill()
    wait_until_projected(scene, award_everybody(api))
    for _ in range(5):
        scene.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'laurels_proj%'"
        )
        time.sleep(1)
    wait_until_projected(scene, award_everybody(api))
    assert "no broker answers" in unwell(projector)
    written = projector.log.read_text().count("\n")
    own_broker.start()

    eventually(lambda: award_everybody(api) and not unwell(projector), "the projector is ready again")
    wait_until_projected(scene, award_everybody(api))
    assert written < 200
    assert "from the log" in projector.log.read_text()
    assert_reads_are_the_log(scene)


def test_a_projector_that_starts_without_a_broker_reads_the_log(scene: Parts) -> None:
    """It holds all partitions until one answers, and says so."""
    api = scene.start("command_api")
    given_users(api)
    last = award_everybody(api)
    nowhere = dict(scene.environment) | {"LAURELS_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}

    projector = replace(scene, environment=nowhere).launch("projector", compose_services()["projector"]["command"])
    wait_until_projected(scene, last)

    assert "no broker answers" in unwell(projector)
    assert_reads_are_the_log(scene)
