"""Scaled out: Kafka feeds the projections, and a consumer group shares the partitions among projectors.

Where to read from is the database's word, never Kafka's: `progress` has each partition's position and next offset. What
lies at or below the position is dropped; where events are missing before a record, or never come, the log fills in.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from projector.batch import Batch, Held, LogBatch, MissingEvents, Poison, Record, RecordBatch, UnknownEvents
from projector.runner import Runner, TakenOver
from shared.event_log import partition_count
from shared.events.cloudevents import MalformedRecord, from_record
from shared.runtime.database import FAILURES, Backoff, OwnConnection, Role, connect
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
POLL_SECONDS: Final = 0.5
METADATA_MS: Final = 3_000
OVERDUE_SECONDS: Final = 5.0
"""How long a partition may be behind the log before the log itself fills in."""

QUIET_SECONDS: Final = 0.5
"""How often the checkpoints of partitions without news move, so that the Read-Position is found near to them."""

LAST_IN_LOG: Final = "SELECT partition_positions FROM log_head"
HEAD: Final = "SELECT position, partition_positions FROM log_head"


class KafkaFeed:
    """Follows the topic for one generation. Run `run()` as a task; it ends when cancelled.

    `trouble` says why it cannot go on, None while it can.
    """

    def __init__(self, settings: Settings, generation: int) -> None:
        self._settings, self._generation = settings, generation
        self.trouble: str | None = None
        self.from_log: dict[int, float] = {}

    async def run(self) -> None:
        """Project for ever, with a new consumer after every failure of Kafka or the database."""
        backoff = Backoff()
        while True:
            try:
                await self._follow(backoff)
            except TakenOver:
                logger.warning("partitions moved to another projector; joining the group anew")
            except (MissingEvents, UnknownEvents) as error:
                logger.error("the projection cannot go on: %s", error)  # noqa: TRY400 - an operator's matter, not a bug's
                self.trouble = str(error)
            except (KafkaError, WrongTopic, *FAILURES) as error:
                logger.warning("the projector starts anew: %s: %s", type(error).__name__, error)
            await backoff.sleep()

    async def _follow(self, backoff: Backoff) -> None:
        reader = await connect(self._settings.database_url, Role.PROJECTOR)
        try:
            # Whoever comes first makes the topic; a consumer that waits for one complains ten times a second.
            await ensure_topic(self._settings, await partition_count(reader))
            runner = await Runner.open(self._settings.database_url, self._generation)
            try:
                await self._consume(Consumption(self._settings, reader, runner, self.from_log), backoff)
            finally:
                runner.close()
        finally:
            reader.terminate()

    async def _consume(self, consumption: "Consumption", backoff: Backoff) -> None:
        await consumption.start()
        try:
            while True:
                if await consumption.step():
                    backoff.reset()
                    self.trouble = None
        finally:
            await consumption.stop()


class Consumption(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One membership in the consumer group, from joining to leaving."""

    def __init__(
        self, settings: Settings, reader: OwnConnection, runner: Runner, from_log: dict[int, float] | None = None
    ) -> None:
        self._settings, self._reader, self._runner = settings, reader, runner
        self._from_log = {} if from_log is None else from_log
        self._held: dict[int, Held] = {}
        self._assigned: list[int] = []
        self._due: dict[int, tuple[int, float]] = {}
        self._quiet_due = 0.0
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            # Every generation reads the topic by itself, so each is a group of its own.
            group_id=f"{settings.kafka_group}-{runner.generation}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_session_timeout_ms // 4,
            rebalance_timeout_ms=max(settings.kafka_session_timeout_ms, 10_000),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            # A topic that was deleted and made anew is noticed within this time.
            metadata_max_age_ms=METADATA_MS,
        )

    async def start(self) -> None:
        """Join the group."""
        self._consumer.subscribe([self._settings.kafka_topic], listener=self)
        try:
            await self._consumer.start()
        except KafkaError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        try:
            async with asyncio.timeout(3):
                await self._consumer.stop()
        except (KafkaError, TimeoutError) as error:
            logger.debug("leaving the group: %s", error)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Hold nothing until the next assignment; a batch under way is fenced by its epoch."""
        del revoked
        self._held, self._assigned = {}, []

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the partitions. The loop takes them over: a lock shared with this callback would deadlock."""
        self._held, self._assigned = {}, sorted(tp.partition for tp in assigned)

    async def step(self) -> bool:
        """Take over what was assigned, else project what has come; return whether anything was projected."""
        if self._assigned and not self._held:
            await self._take_over(self._assigned)
        fetched = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=BATCH_LIMIT)
        # A rebalance puts another dictionary in its place; what is done with this one is fenced by its epochs.
        held = self._held
        fresh: list[Record] = []
        log = await self._reader.fetchval(LAST_IN_LOG) if fetched else []
        for topic_partition, records in fetched.items():
            self._from_log.pop(topic_partition.partition, None)
            if topic_partition.partition in held:
                fresh += await self._fresh(held, topic_partition, records, log[topic_partition.partition])
        if fresh:
            await self._project(held, RecordBatch(fresh, dict(held)))
        await self._skip_quiet(held)
        return await self._fill_in(held) or bool(fresh)

    async def _take_over(self, assigned: list[int]) -> None:
        held, offsets = await self._runner.take_over(assigned)
        if self._assigned != assigned:
            return
        for partition, offset in offsets.items():
            topic_partition = TopicPartition(self._settings.kafka_topic, partition)
            if offset is None:
                await self._consumer.seek_to_beginning(topic_partition)
            else:
                self._consumer.seek(topic_partition, offset)
        self._held = held

    async def _fresh(
        self, held: dict[int, Held], where: TopicPartition, records: Sequence[Any], in_log: int
    ) -> list[Record]:
        """Return the records that follow without a gap on what is held; a gap is first filled from the log.

        `in_log` is the partition's last position in the log: what claims a later one did not come from there.
        """
        fresh: list[Record] = []
        strange: list[tuple[Poison, Exception]] = []
        last = held[where.partition].position
        for record in records:
            try:
                event = from_record(record.headers, record.value)
                if event.position > in_log:
                    raise MalformedRecord("the log does not reach so far")  # noqa: TRY301 - one treatment for both
            except MalformedRecord as error:
                # If it should have been an event, the next one tells that it is missing, and the log has it.
                strange.append((Poison(where.partition, None, None, record.value, record.offset), error))
                continue
            if event.position <= last:
                continue
            if event.previous > last:
                logger.warning("partition %d misses events between %d and %d", where.partition, last, event.position)
                if fresh:
                    # What precedes the gap goes first; the rest comes again.
                    self._consumer.seek(where, record.offset)
                    break
                await self._refill(held, where.partition, event.previous)
                last = held[where.partition].position
            fresh.append(Record(where.partition, event, record.offset + 1))
            last = event.position
        await self._runner.quarantine_strange(strange)
        return fresh

    async def _project(self, held: dict[int, Held], events: Batch) -> None:
        await self._runner.project(events)
        held.update(events.held_afterwards)

    async def _skip_quiet(self, held: dict[int, Held]) -> None:
        """Move the checkpoints of partitions that have all their events to the head of the log."""
        if (now := time.monotonic()) < self._quiet_due:
            return
        self._quiet_due = now + QUIET_SECONDS
        head, last = await self._reader.fetchrow(HEAD) or (0, [])
        quiet = {partition: at for partition, at in held.items() if last[partition] <= at.position < head}
        if quiet:
            events = LogBatch(min(at.position for at in quiet.values()), head, quiet, len(last))
            await self._runner.skip(events)
            held.update(events.held_afterwards)

    async def _fill_in(self, held: dict[int, Held]) -> bool:
        """Take from the log what Kafka should have brought long ago, as after the loss of its topic."""
        if not held:
            return False
        now = time.monotonic()
        positions = await self._reader.fetchval(LAST_IN_LOG)
        filled = False
        for partition in list(held):
            position, since = self._due.setdefault(partition, (positions[partition], now))
            if held[partition].position >= position:
                del self._due[partition]
            elif now - since > OVERDUE_SECONDS:
                logger.warning("partition %d is filled from the log: Kafka does not bring its events", partition)
                self._from_log[partition] = now
                await self._refill(held, partition, position)
                filled = True
        return filled

    async def _refill(self, held: dict[int, Held], partition: int, upto: int) -> None:
        """Project this partition's events from the log, up to a position."""
        partitions = await partition_count(self._reader)
        while (at := held[partition]).position < upto:
            end = min(at.position + BATCH_LIMIT, upto)
            await self._project(held, LogBatch(at.position, end, {partition: at}, partitions))
