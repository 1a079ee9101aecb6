"""Scaled out: Kafka feeds the projections, and a consumer group shares the partitions among projectors.

Where to read from is the database's word, never Kafka's: `progress` has each partition's position and next offset. What
lies at or below the position is dropped; where events are missing before a record, or never come, the log fills in.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from projector.batch import Advance, Batch
from projector.feeds.postgres import KNOWN_VERSIONS
from projector.runner import Runner, TakenOver
from shared.event_log import partition_count
from shared.events.cloudevents import Consumed, from_record
from shared.read_models import live_generation
from shared.runtime.database import UNREACHABLE, Backoff, OwnConnection, Role, connect
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
POLL_SECONDS: Final = 0.5
OVERDUE_SECONDS: Final = 5.0
"""How long a partition may be behind what the relay has published before the log fills in."""

SOURCE: Final = """
    (SELECT position, partition, type, schema_version, user_id, recorded_at, data::jsonb AS data
     FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[])
        AS r (position, partition, type, schema_version, user_id, recorded_at, data)
    ) AS records
    WHERE schema_version <= coalesce(($8::jsonb ->> type)::int, 0)
"""

REFILL: Final = """
    events
    WHERE partition = $1 AND position > $2 AND position <= $3
      AND schema_version <= coalesce(($4::jsonb ->> type)::int, 0)
"""
REFILL_COUNT: Final = """
SELECT count(*) AS events, max(position) AS last
FROM (SELECT position FROM events WHERE partition = $1 AND position > $2 AND position <= $3
      ORDER BY position LIMIT $4) missing
"""
LAST_IN_LOG: Final = "SELECT partition_positions FROM log_head"


@dataclass(slots=True)
class Held:
    """A partition that this projector may write: where it is, and under which epoch."""

    position: int
    epoch: int


class KafkaFeed:
    """Follows the topic for the live generation. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self) -> None:
        """Project for ever, with a new consumer after every failure of Kafka or the database."""
        backoff = Backoff()
        while True:
            try:
                await self._follow(backoff)
            except TakenOver:
                logger.warning("partitions moved to another projector; joining the group anew")
            except (KafkaError, WrongTopic, *UNREACHABLE) as error:
                logger.warning("the projector starts anew: %s: %s", type(error).__name__, error)
            await backoff.sleep()

    async def _follow(self, backoff: Backoff) -> None:
        reader = await connect(self._settings.database_url, Role.PROJECTOR)
        try:
            # Whoever comes first makes the topic; a consumer that waits for one complains ten times a second.
            await ensure_topic(self._settings, await partition_count(reader))
            runner = await Runner.open(self._settings.database_url, await live_generation(reader))
            try:
                await self._consume(_Consumption(self._settings, reader, runner), backoff)
            finally:
                runner.close()
        finally:
            reader.terminate()

    async def _consume(self, consumption: "_Consumption", backoff: Backoff) -> None:
        await consumption.start()
        try:
            while True:
                if await consumption.step():
                    backoff.reset()
        finally:
            await consumption.stop()


class _Consumption(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One membership in the consumer group, from joining to leaving."""

    def __init__(self, settings: Settings, reader: OwnConnection, runner: Runner) -> None:
        self._settings, self._reader, self._runner = settings, reader, runner
        self._held: dict[int, Held] = {}
        self._assigned: list[int] | None = None
        self._behind_since: dict[int, float] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group_id=settings.kafka_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_session_timeout_ms // 4,
            rebalance_timeout_ms=max(settings.kafka_session_timeout_ms, 10_000),
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )

    async def start(self) -> None:
        """Join the group."""
        self._consumer.subscribe([self._settings.kafka_topic], listener=self)
        await self._consumer.start()

    async def stop(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        try:
            await asyncio.wait_for(self._consumer.stop(), timeout=3)
        except (KafkaError, TimeoutError) as error:
            logger.debug("leaving the group: %s", error)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Hold nothing until the next assignment; a batch under way is fenced by its epoch."""
        del revoked
        self._held, self._assigned = {}, None

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the partitions. The loop takes them over: a lock shared with this callback would deadlock."""
        self._held, self._assigned = {}, sorted(tp.partition for tp in assigned)

    async def step(self) -> bool:
        """Take over what was assigned, else project what has come; return whether anything was projected."""
        if self._assigned is not None and not self._held and self._assigned:
            await self._take_over(self._assigned)
        fetched = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=BATCH_LIMIT)
        held = self._held
        fresh = {}
        for topic_partition, records in fetched.items():
            partition = topic_partition.partition
            if partition in held:
                fresh[partition] = await self._fresh(partition, held[partition], records)
        projected = await self._project(held, fresh)
        return await self._fill_in(held) or projected

    async def _take_over(self, assigned: list[int]) -> None:
        taken = await self._runner.take_over(assigned)
        if self._assigned != assigned:
            return
        for partition, (_, _, offset) in taken.items():
            topic_partition = TopicPartition(self._settings.kafka_topic, partition)
            if offset is None:
                await self._consumer.seek_to_beginning(topic_partition)
            else:
                self._consumer.seek(topic_partition, offset)
        self._held = {partition: Held(position, epoch) for partition, (position, epoch, _) in taken.items()}

    async def _fresh(self, partition: int, held: Held, records: Sequence[Any]) -> list[tuple[Consumed, int]]:
        """Return the records that were not projected before, with the offsets after them."""
        fresh: list[tuple[Consumed, int]] = []
        last = held.position
        for record in records:
            event = from_record(record.headers, record.value)
            if event.position <= last:
                continue
            if event.previous > last:
                logger.warning("partition %d misses events between %d and %d", partition, last, event.position)
                if fresh:
                    # The rest comes again: what precedes the hole is projected first.
                    self._consumer.seek(TopicPartition(record.topic, partition), record.offset)
                    break
                await self._refill(partition, held, event.previous)
                last = held.position
            fresh.append((event, record.offset + 1))
            last = event.position
        return fresh

    async def _project(self, held: Mapping[int, Held], fresh: Mapping[int, list[tuple[Consumed, int]]]) -> bool:
        advances = [
            Advance(partition, held[partition].position, records[-1][0].position, held[partition].epoch, records[-1][1])
            for partition, records in fresh.items()
            if records
        ]
        if not advances:
            return False
        rows = [
            (e.position, partition, e.type, e.schema_version, e.user_id, e.recorded_at, e.data)
            for partition, records in fresh.items()
            for e, _ in records
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        await self._runner.project(Batch(SOURCE, (*columns, KNOWN_VERSIONS), len(rows), advances))
        for advance in advances:
            held[advance.partition].position = advance.new
        return True

    async def _fill_in(self, held: Mapping[int, Held]) -> bool:
        """Take from the log what Kafka should have brought long ago, as after the loss of its topic."""
        if not held:
            return False
        now = time.monotonic()
        positions = await self._reader.fetchval(LAST_IN_LOG)
        filled = False
        for partition, at in held.items():
            if at.position >= positions[partition]:
                self._behind_since.pop(partition, None)
            elif now - self._behind_since.setdefault(partition, now) > OVERDUE_SECONDS:
                await self._refill(partition, at, positions[partition])
                filled = True
        return filled

    async def _refill(self, partition: int, held: Held, upto: int) -> None:
        """Project this partition's events from the log, up to a position that the log has."""
        while held.position < upto:
            missing = await self._reader.fetchrow(REFILL_COUNT, partition, held.position, upto, BATCH_LIMIT)
            if missing is None or not missing["events"]:
                return
            last = missing["last"]
            arguments = (partition, held.position, last, KNOWN_VERSIONS)
            advance = Advance(partition, held.position, last, held.epoch)
            await self._runner.project(Batch(REFILL, arguments, missing["events"], [advance]))
            held.position = last
            self._behind_since.pop(partition, None)
