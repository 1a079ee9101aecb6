"""The broker that the other tests rely on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.kafka import KafkaBroker, KafkaUnavailable, answers, kafka_or_skip, start_broker

ROOT = Path(__file__).parents[2]
SECONDS = 30

OWN = """
broker = start_broker(Path(sys.argv[1]))
print(broker.bootstrap_servers, flush=True)
sys.stdin.read()
"""
SHARED = """
with session_broker(Path(sys.argv[1])) as broker:
    print(broker.bootstrap_servers, flush=True)
    sys.stdin.read()
"""
IMPORTS = "import sys; from pathlib import Path; from tests.support.kafka import *"

Owner = subprocess.Popen[str]
StartOwner = Callable[[str, Path], Owner]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with kafka_or_skip():
        broker = start_broker(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def start_owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartOwner]:
    """Start a process that owns a broker, says its address and waits for the end of its input."""
    monkeypatch.delenv("LAURELS_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    owners: list[Owner] = []

    def start(program: str, folder: Path) -> Owner:
        command = [sys.executable, "-c", f"{IMPORTS}\n{program}", str(folder)]
        owner = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        owners.append(owner)
        return owner

    yield start
    for owner in owners:
        owner.communicate()


def address_of(owner: Owner) -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def make_topic(broker: KafkaBroker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        await admin.create_topics([NewTopic("events", num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()


async def produce(broker: KafkaBroker, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait("events", value)


async def consume(broker: KafkaBroker, group: str) -> bytes | None:
    consumer = AIOKafkaConsumer(
        "events",
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(SECONDS):
        record = await consumer.getone()
        await consumer.commit()
        value: bytes | None = record.value
        return value


def test_a_record_comes_back(broker: KafkaBroker) -> None:
    """A topic can be made, and a consumer group reads what was produced."""
    asyncio.run(make_topic(broker))
    asyncio.run(produce(broker, b"awarded"))

    assert asyncio.run(consume(broker, "projector")) == b"awarded"


def test_a_record_survives_kill_9(broker: KafkaBroker) -> None:
    """A killed broker returns on the same port, with its records."""
    asyncio.run(make_topic(broker))
    asyncio.run(produce(broker, b"awarded"))

    broker.kill()
    gone = not answers(broker.bootstrap_servers)
    broker.start()

    assert gone
    assert asyncio.run(consume(broker, "projector")) == b"awarded"


def test_a_paused_broker_is_silent(broker: KafkaBroker) -> None:
    """A paused broker answers nothing until it is resumed."""
    broker.pause()
    silent = not answers(broker.bootstrap_servers)
    broker.resume()

    assert silent
    wait_until(lambda: answers(broker.bootstrap_servers))


def test_an_own_broker_dies_with_its_process(broker: KafkaBroker, start_owner: StartOwner, tmp_path: Path) -> None:
    """Not even kill -9 of a test process leaves its broker behind."""
    owner = start_owner(OWN, tmp_path / "own")
    address = address_of(owner)
    assert answers(address)

    owner.kill()

    wait_until(lambda: not answers(address))
    assert answers(broker.bootstrap_servers)


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL])
def test_a_session_shares_one_broker(start_owner: StartOwner, tmp_path: Path, last: signal.Signals) -> None:
    """Processes that start at the same time share one broker, which lasts as long as the last of them."""
    with kafka_or_skip():
        start_broker(tmp_path / "probe").stop()
    folder = tmp_path / "shared"

    first, second = start_owner(SHARED, folder), start_owner(SHARED, folder)
    address = address_of(first)
    assert address_of(second) == address
    first.communicate()
    assert answers(address)
    os.kill(second.pid, last)

    wait_until(lambda: not answers(address))
    wait_until(lambda: not list(folder.glob("broker-*")))


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("0", pytest.skip.Exception)])
def test_without_kafka_tests_are_skipped_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    """LAURELS_REQUIRE_KAFKA=1 turns a skip into a failure, with the same reason."""
    monkeypatch.setenv("LAURELS_REQUIRE_KAFKA", required)
    reason = "no Java here"

    with pytest.raises(outcome, match=reason), kafka_or_skip():
        raise KafkaUnavailable(reason)
