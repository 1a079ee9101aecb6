"""Looks into a Kafka topic and changes it by hand, from plain tests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError

from tests.support.synchronously import synchronously

SECONDS = 60


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


def produce_many(bootstrap_servers: str, topic: str, partition: int, values: Sequence[bytes]) -> None:
    """Put records without headers into a partition, one after the other without a gap."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=5) as producer:
            await asyncio.gather(*[await producer.send(topic, value, None, partition) for value in values])

    synchronously(send())


def make_anew(bootstrap_servers: str, topic: str, partitions: int) -> None:
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
