"""Publishes the log to Kafka, in position order, one relay at a time.

The log is its own outbox. The checkpoint moves after Kafka has acknowledged, and only under the epoch of whoever took
the lease last, so a relay that was paused and woke up cannot move it back. A crash may publish events a second time;
consumers drop them by position.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import FastAPI

from shared.event_log import APPENDED_CHANNEL
from shared.events.cloudevents import to_headers
from shared.events.envelope import RecordedEvent
from shared.runtime import checks
from shared.runtime.background import background, heard
from shared.runtime.database import FAILURES, Backoff, OwnConnection, Role, connect, listen, open_pool
from shared.runtime.http import create_app
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.metrics import PUBLISHED
from shared.runtime.operations import Check, operations
from shared.runtime.process import run as run_process
from shared.runtime.protection import Protection
from shared.runtime.server import serve
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 2_000
POLL_SECONDS: Final = 1.0

LEASE_SECONDS: Final = 5.0
"""How long a relay that has stopped, but not ended, keeps others waiting."""

# The lock is free as soon as its holder ends; the lease runs out where the holder hangs. What fences is the epoch.
MAY_WORK: Final = """
SELECT pg_try_advisory_lock(hashtext('laurels relay'))
    OR (SELECT renewed_at < now() - make_interval(secs => $1) FROM write_model.relay_lease)
"""
TAKE_LEASE: Final = """
UPDATE write_model.relay_lease SET epoch = epoch + 1, renewed_at = now()
RETURNING epoch, position, partition_positions
"""
RENEW: Final = "UPDATE write_model.relay_lease SET renewed_at = now() WHERE epoch = $1"
MOVE: Final = """
UPDATE write_model.relay_lease SET position = $2, partition_positions = $3 WHERE epoch = $1
"""
NEXT: Final = """
SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE position > $1 ORDER BY position LIMIT $2
"""


class LeaseLost(Exception):
    """Another relay took the lease."""


@dataclass(slots=True)
class Lease:
    """How far the log is published, overall and in each partition."""

    epoch: int
    position: int
    partition_positions: list[int]


class Relay:
    """Run `run()` as a task; it ends when cancelled."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._poke = asyncio.Event()

    async def run(self) -> None:
        """Publish for ever, starting anew after every failure of Kafka or the database."""
        async with background(listen(self._settings.database_url, Role.RELAY, APPENDED_CHANNEL, self._poke.set)):
            await self._keep_publishing()

    async def _keep_publishing(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._publish(backoff)
            except LeaseLost:
                logger.warning("another relay took the lease; standing by")
            except WrongTopic as error:
                logger.error("%s", error)  # noqa: TRY400 - an operator's matter, not a bug's
            except (KafkaError, *FAILURES) as error:
                logger.warning("the relay starts anew: %s: %s", type(error).__name__, error)
            await backoff.sleep()

    async def _publish(self, backoff: Backoff) -> None:
        connection = await connect(self._settings.database_url, Role.RELAY)
        try:
            while not await connection.fetchval(MAY_WORK, LEASE_SECONDS):  # noqa: ASYNC110 - another process's lease
                await asyncio.sleep(POLL_SECONDS)
            row = await connection.fetchrow(TAKE_LEASE)
            if row is None:
                message = "the relay's lease is missing: the migrations did not finish"
                raise LookupError(message)
            lease = Lease(**row)
            await ensure_topic(self._settings, len(lease.partition_positions))
            async with _producer(self._settings) as producer, background(self._renew(lease.epoch)):
                await self._publish_all(connection, producer, lease, backoff)
        finally:
            connection.terminate()

    async def _publish_all(
        self, connection: OwnConnection, producer: AIOKafkaProducer, lease: Lease, backoff: Backoff
    ) -> None:
        while True:
            self._poke.clear()
            while rows := await connection.fetch(NEXT, lease.position, BATCH_LIMIT):
                await self._send(producer, [RecordedEvent(**row) for row in rows], lease)
                await _move(connection, lease)
                backoff.reset()
            await heard(self._poke, POLL_SECONDS)

    async def _renew(self, epoch: int) -> None:
        """Keep the lease while it is this relay's, however long a batch takes."""
        with contextlib.suppress(*FAILURES):
            connection = await connect(self._settings.database_url, Role.RELAY)
            try:
                while await connection.execute(RENEW, epoch) == "UPDATE 1":  # noqa: ASYNC110 - a clock, not an event
                    await asyncio.sleep(POLL_SECONDS)
            finally:
                # The holder sees by itself that it lost the lease, when it moves the checkpoint.
                connection.terminate()

    async def _send(self, producer: AIOKafkaProducer, events: Sequence[RecordedEvent], lease: Lease) -> None:
        acknowledged = []
        for event in events:
            headers = to_headers(event, lease.partition_positions[event.partition])
            key = None if event.user_id is None else b"%d" % event.user_id
            acknowledged.append(
                await producer.send(
                    self._settings.kafka_topic, event.data.encode(), key, event.partition, headers=headers
                )
            )
            lease.partition_positions[event.partition] = event.position
            lease.position = event.position
        await producer.flush()
        await asyncio.gather(*acknowledged)
        PUBLISHED.inc(len(events))


async def _move(connection: OwnConnection, lease: Lease) -> None:
    status = await connection.execute(MOVE, lease.epoch, lease.position, lease.partition_positions)
    if status != "UPDATE 1":
        raise LeaseLost


@contextlib.asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=1,
        request_timeout_ms=10_000,
    )
    try:
        await producer.start()
        yield producer
    finally:
        # What was not acknowledged is published again from the checkpoint, so nothing is worth waiting for.
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(3):
                await producer.stop()


def app(settings: Settings) -> FastAPI:
    """Return the relay as a service: it publishes, and serves nothing but its operations."""
    ready: dict[str, Check] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_pool(settings.database_url, Role.RELAY, size=1) as pool,
            background(Relay(settings).run()) as task,
        ):
            ready["database"] = checks.database(pool)
            ready["relay"] = checks.running(task)
            ready["kafka"] = checks.kafka(settings)
            yield

    return create_app(operations(ready).routes, lifespan=lifespan, protection=Protection(settings))


if __name__ == "__main__":
    run_process(lambda settings: serve(app(settings), settings))
