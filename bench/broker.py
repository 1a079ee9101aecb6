"""The floor of everything that goes through Kafka: from producing a record to consuming it, with nothing in between."""

import asyncio
import struct
import time
from array import array

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.client import WARM_UP_SECONDS, Outcome

PARTITIONS = 8
_MOMENT = struct.Struct("d")
PADDING = b" " * 200


def run(address: str, topic: str, rate: float, seconds: float) -> Outcome:
    """Produce at a fixed rate, durably, to a new topic; return the seconds until each record is consumed."""
    return uvloop.run(_run(address, topic, rate, seconds))


async def _run(address: str, topic: str, rate: float, seconds: float) -> Outcome:
    await _make(address, topic)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True, linger_ms=1)
    latencies = array("d")
    count = int(rate * (WARM_UP_SECONDS + seconds))
    async with consumer, producer:
        consuming = asyncio.create_task(_consume(consumer, count, latencies))
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(started + number / rate - time.perf_counter())
            moment = _MOMENT.pack(time.perf_counter())
            await producer.send(topic, moment + PADDING, partition=number % PARTITIONS)
        await consuming
    return Outcome(seconds, latencies[int(rate * WARM_UP_SECONDS) :])


async def _consume(consumer: AIOKafkaConsumer, count: int, latencies: "array[float]") -> None:
    while len(latencies) < count:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            now = time.perf_counter()
            latencies.extend(now - _MOMENT.unpack_from(record.value)[0] for record in records)


async def _make(address: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()
