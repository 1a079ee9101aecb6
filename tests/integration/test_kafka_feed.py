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
from tests.support.deployments import Parts, parts
from tests.support.kafka import SharedBroker
from tests.support.processes import Service, run
from tests.support.rebuild import unequal_rows
from tests.support.synchronously import synchronously
from tests.support.topic import configure, delete_records, make_anew, produce, produce_many, records_of

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
def test_a_strange_record_is_put_aside(scene: Parts, headers: list[tuple[str, bytes]], value: bytes) -> None:
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
    assert f'laurels_partition_trouble{{cause="taken from the log: {why}",partition="0"}} 1.0' in metrics(projector)
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

    make_anew(scene.bootstrap_servers, scene.topic, PARTITIONS)
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
