"""Looks into a Kafka topic and changes it by hand, from plain tests."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.support.synchronously import synchronously

SECONDS = 60
# Where the parts of a batch are, in bytes.
BATCH_HEAD = 61
BEFORE_LENGTH_COUNTS = 12
CHECKSUM = slice(17, 21)
LAST_OFFSET_DELTA = 23


def records_of(bootstrap_servers: str, topic: str, partitions: int) -> list[Any]:
    """Return everything in a topic, partition by partition in the order of the offsets."""

    async def read() -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        async with consumer, asyncio.timeout(SECONDS):
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            await consumer.seek_to_beginning(*parts)
            found: list[Any] = []
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return sorted(found, key=lambda record: (record.partition, record.offset))

    return synchronously(read())


def produce(
    bootstrap_servers: str, topic: str, partition: int, headers: Sequence[tuple[str, bytes]], value: bytes
) -> None:
    """Put one record into a partition."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
            await producer.send_and_wait(topic, value, None, partition, headers=list(headers))

    synchronously(send())


def produce_with_header(bootstrap_servers: str, topic: str, partition: int, name: bytes, value: bytes) -> None:
    """Put one record into a partition whose header has any bytes for a name, as clients in other languages can."""
    placeholder = "x" * len(name)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1, None, value, [(placeholder, b"")])
    batch = bytearray(builder.build())
    at = batch.rindex(placeholder.encode())
    batch[at : at + len(name)] = name
    batch[CHECKSUM] = calc_crc32c(bytes(batch[CHECKSUM.stop :])).to_bytes(4, "big")

    async def send() -> None:
        client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
        await client.bootstrap()
        try:
            await client.set_topics([topic])
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            request = ProduceRequest(None, -1, 10_000, [(topic, [(partition, bytes(batch))])])
            answer = await client.send(leader, request)
            assert answer.topics[0][1][0][1] == 0, answer
        finally:
            await client.close()

    synchronously(send())


def produce_many(bootstrap_servers: str, topic: str, partition: int, values: Sequence[bytes]) -> None:
    """Put records without headers into a partition, one after the other without a gap."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=5) as producer:
            await asyncio.gather(*[await producer.send(topic, value, None, partition) for value in values])

    synchronously(send())


def flip_a_byte(storage: Path, topic: str, partition: int, offset: int | None = None) -> None:
    """Damage, on the broker's disk, the batch that an offset lies in, the last by default.

    `storage` is the broker's folder of logs. Raises LookupError if there is no such batch.
    """
    found = [
        (segment, end)
        for segment in sorted((storage / f"{topic}-{partition}").glob("*.log"))
        for first, last, end in _batches(segment.read_bytes())
        if offset is None or first <= offset <= last
    ]
    if not found:
        message = f"there is no such offset in partition {partition}"
        raise LookupError(message)
    segment, end = found[-1]
    with segment.open("r+b") as file:
        file.seek(end - 1)
        (byte,) = file.read(1)
        file.seek(end - 1)
        file.write(bytes([byte ^ 0x55]))


def _batches(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the first and the last offset of every batch in a segment, and where it ends."""
    start = 0
    while start + BATCH_HEAD < len(data):
        first, length = struct.unpack_from(">qi", data, start)
        (more,) = struct.unpack_from(">i", data, start + LAST_OFFSET_DELTA)
        start += BEFORE_LENGTH_COUNTS + length
        yield first, first + more, start


def make_topic(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Make a topic."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        await admin.create_topics([NewTopic(topic, partitions, 1)])

    _administer(bootstrap_servers, change)


def partitions_of(bootstrap_servers: str, topic: str) -> int:
    """Count the partitions of a topic, 0 where there is none."""
    found: list[int] = []

    async def look(admin: AIOKafkaAdminClient) -> None:
        (described,) = await admin.describe_topics([topic])
        found.append(len(described["partitions"]))

    _administer(bootstrap_servers, look)
    return found[0]


def delete_topic(bootstrap_servers: str, topic: str) -> None:
    """Delete a topic; a broker that makes topics by itself makes it again as soon as somebody asks for it."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_topics([topic])

    _administer(bootstrap_servers, change)


def add_partitions(bootstrap_servers: str, topic: str, total: int) -> None:
    """Give a topic more partitions, so that it has so many in all."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        await admin.create_partitions({topic: NewPartitions(total)})

    _administer(bootstrap_servers, change)


def recreate(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Delete a topic with all that is in it, and make it again, empty."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_topics([topic])
        # A service that notices the loss first may have made it already.
        with suppress(TopicAlreadyExistsError):
            await admin.create_topics([NewTopic(topic, partitions, 1)])

    _administer(bootstrap_servers, change)


def delete_records(bootstrap_servers: str, topic: str, before: Mapping[int, int]) -> None:
    """Delete, in each of these partitions, the records before an offset, as retention does."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_records(
            {TopicPartition(topic, partition): RecordsToDelete(offset) for partition, offset in before.items()}
        )

    _administer(bootstrap_servers, change)


def configure(bootstrap_servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """Give a topic these settings, and the defaults for all others."""

    async def change(admin: AIOKafkaAdminClient) -> None:
        (answer,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))])
        assert [0] == [resource[0] for resource in answer.resources], answer

    _administer(bootstrap_servers, change)


def _administer(bootstrap_servers: str, change: Callable[[AIOKafkaAdminClient], Awaitable[None]]) -> None:
    async def administer() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        try:
            async with asyncio.timeout(SECONDS):
                await change(admin)
        finally:
            await admin.close()

    synchronously(administer())
