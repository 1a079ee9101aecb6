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
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from shared.event_store.log import APPENDED_CHANNEL
from shared.events.cloudevents import to_headers
from shared.events.envelope import RecordedEvent
from shared.http import checks
from shared.http.app import Application, Serving, create_app
from shared.http.gauges import refresh_positions, refresh_published
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.http.server import serve
from shared.runtime.background import background, wait_for
from shared.runtime.database import FAILURES, Backoff, Connection, OwnConnection, Pool, Role, connect, listen, open_pool
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.metrics import PUBLISHED
from shared.runtime.process import run as run_process
from shared.runtime.settings import Settings
from shared.runtime.stalls import Stalls, keep_looking

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 2_000
POLL_SECONDS: Final = 1.0

SEND_SECONDS: Final = 15.0
"""So long without an acknowledgement, a new producer looks for the brokers, and says that there are none."""

LEASE_SECONDS: Final = 5.0
"""How long a relay that has stopped, but not ended, keeps others waiting."""

# The lock is free as soon as its holder ends; the lease runs out where the holder hangs. What fences is the epoch.
MAY_WORK: Final = """
SELECT pg_try_advisory_lock(hashtext('laurels relay'))
    OR (SELECT renewed_at < now() - make_interval(secs => $1) FROM write_model.relay_lease)
"""
TAKE_LEASE: Final = """
UPDATE write_model.relay_lease SET epoch = epoch + 1, renewed_at = now(), topic = $1
RETURNING epoch, position, partition_positions
"""
RENEW: Final = "UPDATE write_model.relay_lease SET renewed_at = now() WHERE epoch = $1"
MOVE: Final = """
UPDATE write_model.relay_lease SET position = $2, partition_positions = $3, trouble = NULL WHERE epoch = $1
"""
TELL: Final = "UPDATE write_model.relay_lease SET trouble = $2 WHERE epoch = $1"
STANDING: Final = """
SELECT l.position, h.position AS head, l.trouble FROM write_model.relay_lease l, log_head h
"""
NEXT: Final = """
SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE position > $1 ORDER BY position LIMIT $2
"""


# Room for records that are sent at once, as aiokafka has it by default.
BATCH_BYTES: Final = 16_384
HEADER_BYTES: Final = 1_000
"""More than a record's headers and its batch's own take."""
BROKER_DECIDES: Final = 2**30
"""Larger than any event, so that it is the broker that says what is too large."""


class LeaseLost(Exception):
    """Another relay took the lease, or an operator sent this one back."""


class EventTooLarge(Exception):
    """An event does not fit into the topic, and nothing may overtake it; the message says which."""


@dataclass(slots=True)
class Lease:
    """How far the log is published, overall and in each partition."""

    epoch: int
    position: int
    partition_positions: list[int]


class Relay:
    """Run `run()` as a task; it ends when cancelled.

    `trouble` says what an operator has to mend before it can go on, None while there is nothing of the kind.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._poke = asyncio.Event()
        self.trouble: str | None = None

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
                logger.warning("another relay took the lease, or the log is to be published again")
            except (WrongTopic, EventTooLarge) as error:
                logger.error("%s", error)  # noqa: TRY400 - an operator's matter, not a bug's
                self.trouble = str(error)
            except (KafkaError, *FAILURES) as error:
                logger.warning("the relay starts again: %s: %s", type(error).__name__, error)
            except Exception:
                # As of a library that met a topic which changed under it: publishing may not end for whatever reason.
                logger.exception("the relay failed and starts again")
            await backoff.sleep()

    async def _publish(self, backoff: Backoff) -> None:
        connection = await connect(self._settings.database_url, Role.RELAY)
        try:
            while not await connection.fetchval(MAY_WORK, LEASE_SECONDS):
                self.trouble = None
                await asyncio.sleep(POLL_SECONDS)
            row = await connection.fetchrow(TAKE_LEASE, self._settings.kafka_topic)
            if row is None:
                message = "the relay's lease is missing: the migrations did not finish"
                raise LookupError(message)
            lease = Lease(**row)
            try:
                await self._publish_under(connection, lease, backoff)
            except (WrongTopic, EventTooLarge, KafkaError) as error:
                await connection.execute(TELL, lease.epoch, str(error) or type(error).__name__)
                raise
        finally:
            connection.terminate()

    async def _publish_under(self, connection: OwnConnection, lease: Lease, backoff: Backoff) -> None:
        limit = await ensure_topic(self._settings, len(lease.partition_positions))
        async with _producer(self._settings, limit) as producer, background(self._renew(lease.epoch)):
            while True:
                self._poke.clear()
                # What follows on an event that was refused would be published again with every attempt.
                while rows := await connection.fetch(NEXT, lease.position, 1 if self.trouble else BATCH_LIMIT):
                    failure = await self._send(producer, [RecordedEvent(**row) for row in rows], lease, limit)
                    await _move(connection, lease)
                    if failure is not None:
                        raise failure
                    self.trouble = None
                    backoff.reset()
                self.trouble = None
                if not await wait_for(self._poke, POLL_SECONDS):
                    # An idle relay finds out here that another has the lease, or that an operator sent it back.
                    await _move(connection, lease)

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


async def _move(connection: OwnConnection, lease: Lease) -> None:
    status = await connection.execute(MOVE, lease.epoch, lease.position, lease.partition_positions)
    if status != "UPDATE 1":
        raise LeaseLost


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


class Standing:
    """Watches, from the database alone, whether publishing goes on; whichever relay does it."""

    def __init__(self) -> None:
        self._stalls: Stalls[str] = Stalls()
        self._words = ""

    async def look(self, connection: Connection) -> None:
        """Note how far the log is published."""
        if row := await connection.fetchrow(STANDING):
            self._stalls.note({"published": row["position"]} if row["position"] < row["head"] else {})
            reason = f": {row['trouble']}" if row["trouble"] else ""
            self._words = f"the log is published up to {row['position']} of {row['head']}{reason}"

    @property
    def trouble(self) -> str | None:
        """That nothing is published though there is something, None if all is well."""
        stalled = self._stalls.stalled
        return f"no progress for {stalled['published']:.0f} s: {self._words}" if stalled else None


@contextlib.asynccontextmanager
async def relaying(settings: Settings) -> AsyncIterator[tuple[Pool, dict[str, Check]]]:
    """Publish for as long as the context lasts; yield the relay's pool, and the checks that say whether it goes on."""
    relay, standing = Relay(settings), Standing()
    async with (
        open_pool(settings.database_url, Role.RELAY, size=1) as pool,
        background(keep_looking(pool, standing.look)) as looking,
        background(relay.run()) as task,
    ):
        yield (
            pool,
            {
                "relay": checks.running(task, lambda: relay.trouble),
                "publishing": checks.running(looking, lambda: standing.trouble),
                "kafka": checks.kafka(settings),
            },
        )


def app(settings: Settings) -> Application:
    """Return the relay as a service: it publishes, and serves nothing but its operations."""

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with relaying(settings) as (pool, ready):

            async def refresh() -> None:
                await refresh_positions(pool)
                await refresh_published(pool)

            yield Serving(operations({**ready, "database": checks.database(pool)}, refresh).routes)

    return create_app(start, Protection(settings))


if __name__ == "__main__":
    run_process(lambda settings: serve(app(settings), settings))
