"""Publishes the log to Kafka, in position order, one relay at a time.

The log is its own outbox. The checkpoint moves after Kafka has acknowledged, and only under the epoch of the latest
lease, so a relay that was paused and woke up cannot move it back. A crash may publish events a second time;
consumers drop them by position.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from command_api.relay.lease import Lease, LeaseLost, may_publish, move, renew, take, tell
from shared.event_store.log import APPENDED_CHANNEL
from shared.event_store.reading import events_after
from shared.events.cloudevents import to_headers
from shared.events.envelope import RecordedEvent
from shared.runtime.background import background, wait_for
from shared.runtime.database import FAILURES, Backoff, OwnConnection, Role, connect, listen
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.metrics import PUBLISHED
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 2_000
POLL_SECONDS: Final = 1.0

SEND_SECONDS: Final = 15.0
"""So long without an acknowledgement, a new producer looks for the brokers, and says that there are none."""

# Room for records that are sent at once, as aiokafka has it by default.
BATCH_BYTES: Final = 16_384
HEADER_BYTES: Final = 1_000
"""More than a record's headers and its batch's own take."""
BROKER_DECIDES: Final = 2**30
"""Larger than any event, so that it is the broker that says what is too large."""


class EventTooLarge(Exception):
    """An event does not fit into the topic, and nothing may overtake it; the message says which."""


class Relay:
    """Run `run()` as a task; it ends when cancelled.

    `trouble` says what an operator has to mend before it can go on, None while there is nothing of the kind.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._poke = asyncio.Event()
        self.trouble: str | None = None

    async def run(self) -> None:
        """Publish until cancelled, starting again after every failure of Kafka or the database."""
        async with background(listen(self._settings.database_url, Role.RELAY, APPENDED_CHANNEL, self._poke.set)):
            await self._keep_publishing()

    async def _keep_publishing(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._publish(backoff)
            except LeaseLost:
                logger.warning("another relay took the lease, or the log is to be published again")
            except (WrongTopic, EventTooLarge) as error:
                logger.error("%s", error)  # noqa: TRY400 - an operator's matter, not a bug's
                self.trouble = str(error)
            except (KafkaError, *FAILURES) as error:
                logger.warning("the relay starts again: %s: %s", type(error).__name__, error)
            await backoff.sleep()

    async def _publish(self, backoff: Backoff) -> None:
        connection = await connect(self._settings.database_url, Role.RELAY)
        try:
            while not await may_publish(connection):
                self.trouble = None
                await asyncio.sleep(POLL_SECONDS)
            lease = await take(connection, self._settings.kafka_topic)
            try:
                await self._publish_under(connection, lease, backoff)
            except (WrongTopic, EventTooLarge, KafkaError) as error:
                await tell(connection, lease.epoch, str(error) or type(error).__name__)
                raise
        finally:
            connection.terminate()

    async def _publish_under(self, connection: OwnConnection, lease: Lease, backoff: Backoff) -> None:
        limit = await ensure_topic(self._settings, len(lease.partition_positions))
        async with _producer(self._settings, limit) as producer, background(self._renew(lease.epoch)):
            while True:
                self._poke.clear()
                # What follows on an event that was refused would be published again with every attempt.
                while events := await events_after(connection, lease.position, 1 if self.trouble else BATCH_LIMIT):
                    failure = await self._send(producer, events, lease, limit)
                    await move(connection, lease)
                    if failure is not None:
                        raise failure
                    self.trouble = None
                    backoff.reset()
                self.trouble = None
                if not await wait_for(self._poke, POLL_SECONDS):
                    # An idle relay finds out here that another has the lease, or that an operator sent it back.
                    await move(connection, lease)

    async def _renew(self, epoch: int) -> None:
        """Keep the lease while it is this relay's, however long a batch takes."""
        with contextlib.suppress(*FAILURES):
            connection = await connect(self._settings.database_url, Role.RELAY)
            try:
                while await renew(connection, epoch):  # noqa: ASYNC110 - a clock, not an event
                    await asyncio.sleep(POLL_SECONDS)
            finally:
                # The holder sees by itself that it lost the lease, when it moves the checkpoint.
                connection.terminate()

    async def _send(
        self, producer: AIOKafkaProducer, events: Sequence[RecordedEvent], lease: Lease, limit: int | None
    ) -> Exception | None:
        """Send events and move the lease up to the first that Kafka did not acknowledge; return what kept it."""
        topic, previous, sent = self._settings.kafka_topic, list(lease.partition_positions), []
        for event in events:
            headers = to_headers(event, previous[event.partition])
            key = None if event.user_id is None else b"%d" % event.user_id
            sent.append(await producer.send(topic, event.data.encode(), key, event.partition, headers=headers))
            previous[event.partition] = event.position
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await producer.flush()
        except TimeoutError:
            raise KafkaTimeoutError(f"no broker acknowledged anything for {SEND_SECONDS:.0f} s") from None
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        failures = {n: outcome for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)}
        acknowledged = min(failures, default=len(events))
        for event in events[:acknowledged]:
            lease.partition_positions[event.partition] = lease.position = event.position
        PUBLISHED.inc(acknowledged)
        return _failure(events[acknowledged], failures[acknowledged], topic, limit) if failures else None


def _failure(event: RecordedEvent, outcome: BaseException, topic: str, limit: int | None) -> Exception:
    size = len(event.data.encode())
    # Else the topic's limit was lowered since it was asked for, and a batch was too large: the next attempt knows.
    if isinstance(outcome, MessageSizeTooLargeError) and (limit is None or size + HEADER_BYTES >= limit):
        return EventTooLarge(
            f"the event at position {event.position} has {size} bytes, and the topic {topic} takes "
            f"{limit or 'fewer'} for a record with its headers (max.message.bytes): nothing is published from there on"
        )
    return outcome if isinstance(outcome, Exception) else KafkaError("a record was given up")


@contextlib.asynccontextmanager
async def _producer(settings: Settings, limit: int | None) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=1,
        # The topic's limit is one for batches: what is refused then is a single event.
        max_batch_size=min(limit or BATCH_BYTES, BATCH_BYTES),
        max_request_size=BROKER_DECIDES,
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
