"""One projector's membership in the consumer group, joined again after every failure, and reading as a member.

What the client cannot decode stops one partition's reading only until the next offset that can be read is found.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from shared.event_store.log import partition_count
from shared.runtime.background import end, wait_for
from shared.runtime.database import FAILURES, Backoff, Role, connect
from shared.runtime.kafka import WrongTopic, ensure_topic
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

READ_LIMIT: Final = 5_000
"""Records of one partition that are read at a time."""
READ_MS: Final = 5_000
PROBE_MS: Final = 2_000
METADATA_MS: Final = 3_000
STOP_SECONDS: Final = 3.0
LONGEST_PAUSE: Final = 5.0

ABOUT_RECORDS: Final = (CorruptRecordException, UnsupportedCodecError, RecordTooLargeError)
"""The client's errors that lie in what it reads; its others lie in the connection or the group."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be decoded: from `offset` up to `beyond`, which is excluded."""

    offset: int
    beyond: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Fetched:
    """Consumer records of one partition in the order of their offsets, and what behind them was passed over."""

    partition: int
    records: Sequence[Any]
    unreadable: Unreadable | None = None


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """A consumer that can be left behind whatever happens as it closes."""

    @property
    def reads(self) -> bool:
        """Whether the task that fetches records is still there; without it nothing comes, and nothing is raised."""
        return self._fetcher is None or not self._fetcher.error_future.done()

    async def leave(self) -> None:
        """Leave the group, so that others get the partitions at once, and close every part of the client.

        aiokafka stops closing at the first part that raises, and a fetch that it cancels raises CancelledError here.
        """
        await _finished(self.stop())
        if self._coordinator is not None:
            await _finished(self._coordinator._stop_heartbeat_task())  # noqa: SLF001 - there is no public way
        if self._fetcher is not None:
            for task in self._fetcher._pending_tasks:  # noqa: SLF001 - the same
                task.cancel()
        await _finished(self._client.close())


async def _finished(closing: Coroutine[Any, Any, None]) -> None:
    """Wait for something to close, in a task of its own, so that a stray cancellation reaches no one else."""
    task = asyncio.create_task(closing)
    try:
        await asyncio.wait([task], timeout=STOP_SECONDS)
    finally:
        await end(task)
    if not task.cancelled() and (error := task.exception()):
        logger.debug("leaving the group: %s", error)


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Run `run()` as a task; it ends when cancelled.

    `assigned` are the partitions that the group gave, another object after every rebalance, None while there is no
    assignment. `failure` is the last error that left none, None while the group is being joined.
    """

    def __init__(self, settings: Settings, generation: int) -> None:
        self._settings, self.topic = settings, settings.kafka_topic
        # Every generation reads the topic by itself, so each is a group of its own.
        self._group = f"{settings.kafka_group}-{generation}"
        self._consumer: Consumer | None = None
        self._reads: dict[int, asyncio.Task[Fetched]] = {}
        self._lost, self._changed = asyncio.Event(), asyncio.Event()
        self._backoff = Backoff(most=LONGEST_PAUSE)
        self._away_since = time.monotonic()
        self.assigned: Sequence[int] | None = None
        self.failure: Exception | None = None

    @property
    def away_seconds(self) -> float:
        """How long there has been no assignment; 0 while there is one."""
        return time.monotonic() - self._away_since if self.assigned is None else 0.0

    @property
    def trouble(self) -> str | None:
        """Why there is no assignment, None while there is one or the group is being joined."""
        if self.failure is None:
            return None
        if isinstance(self.failure, KafkaConnectionError):
            return f"no broker answers at {self._settings.kafka_bootstrap_servers}"
        return f"the consumer group cannot be joined: {type(self.failure).__name__}: {self.failure}"

    @property
    def topic_partitions(self) -> int | None:
        """How many partitions the topic has, None while that is not known."""
        if self._consumer is None:
            return None
        return len(self._consumer.partitions_for_topic(self.topic) or ()) or None

    async def run(self) -> None:
        """Be a member for ever."""
        while True:
            try:
                await self._join()
                await self._lost.wait()
            except (KafkaError, OSError, WrongTopic, *FAILURES) as error:
                self._note(error)
            finally:
                await self._leave()
            await self._backoff.sleep()

    def going_well(self) -> None:
        """Let the next failure be followed by a short pause."""
        self._backoff.reset()

    def rejoin(self, error: Exception | None = None) -> None:
        """Join the group again, as after an error of it; what was assigned is not any more."""
        if error is not None:
            self._note(error)
        self._unassign()
        self._lost.set()

    def seek(self, offsets: Mapping[int, int | None]) -> None:
        """Read each of the partitions from an offset next, None for the beginning, if they are still assigned."""
        if self._consumer is None:
            return
        assigned = self._consumer.assignment()
        for partition, offset in offsets.items():
            if (where := self._where(partition)) in assigned:
                # An offset that is not there, as -1, is answered with the first one that is.
                self._consumer.seek(where, max(0, offset or 0))

    async def fetch(self, seconds: float, limit: int) -> Sequence[Fetched]:
        """Return what has come, at least so many records if there are, at the latest after so many seconds."""
        consumer, assigned = self._consumer, self.assigned
        if consumer is None or not assigned:
            self._changed.clear()
            await wait_for(self._changed, seconds)
            return []
        for partition in assigned:
            if partition not in self._reads:
                self._reads[partition] = asyncio.create_task(_read(consumer, self._where(partition)))
        reads = dict(self._reads)
        await asyncio.wait(reads.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not consumer.reads:
            self.rejoin(KafkaError("the client has stopped fetching"))
        if self.assigned is not assigned:
            return []
        return self._taken(reads, limit)

    def _taken(self, reads: Mapping[int, "asyncio.Task[Fetched]"], limit: int) -> Sequence[Fetched]:
        taken: list[Fetched] = []
        for partition, task in reads.items():
            if task.done() and sum(len(fetched.records) for fetched in taken) < limit:
                del self._reads[partition]
                try:
                    taken.append(task.result())
                except KafkaError as error:
                    self.rejoin(error)
                    return []
        return taken

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note that nothing is assigned until the next assignment."""
        del revoked
        self._unassign()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the partitions. Another task takes them over: a lock shared with this callback would deadlock."""
        self._unassign()
        self.assigned = sorted(where.partition for where in assigned)
        self.failure = None
        self._changed.set()

    def _where(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)

    def _note(self, error: Exception) -> None:
        self.failure = error
        logger.warning("%s; trying again", self.trouble)

    def _unassign(self) -> None:
        if self.assigned is not None:
            self._away_since = time.monotonic()
        self.assigned = None
        reads, self._reads = self._reads, {}
        for task in reads.values():
            task.cancel()
            task.add_done_callback(_retrieve)

    async def _join(self) -> None:
        self._lost.clear()
        await self._ensure_topic()
        consumer = Consumer(
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=self._settings.kafka_session_timeout_ms // 4,
            rebalance_timeout_ms=max(self._settings.kafka_session_timeout_ms, 10_000),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            # A topic that was deleted and made again is noticed within this time.
            metadata_max_age_ms=METADATA_MS,
        )
        self._consumer = consumer
        consumer.subscribe([self.topic], listener=self)
        await consumer.start()

    async def _ensure_topic(self) -> None:
        """Create the topic if it is absent: a consumer that waits for one complains ten times a second."""
        connection = await connect(self._settings.database_url, Role.PROJECTOR)
        try:
            partitions = await partition_count(connection)
        finally:
            connection.terminate()
        await ensure_topic(self._settings, partitions)

    async def _leave(self) -> None:
        self._unassign()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.leave()


def _retrieve(task: "asyncio.Task[Fetched]") -> None:
    """Take note of how a read ended whose partition was taken away meanwhile."""
    if not task.cancelled():
        task.exception()


async def _read(consumer: Consumer, where: TopicPartition) -> Fetched:
    """Wait for records of one partition. Raises a KafkaError that does not lie in the records."""
    try:
        found = await _records(consumer, where, READ_MS, READ_LIMIT)
    except _Undecodable:
        # What precedes it was decoded too, but not handed out: the client still stands where it did.
        return await _read_past(consumer, where)
    return Fetched(where.partition, found)


class _Undecodable(Exception):
    """The client cannot decode what it fetched; the cause is its own error."""


async def _records(consumer: Consumer, where: TopicPartition, timeout_ms: int, limit: int) -> Sequence[Any]:
    try:
        found = await consumer.getmany(where, timeout_ms=timeout_ms, max_records=limit)
    except KafkaError as error:
        if not isinstance(error, ABOUT_RECORDS):
            raise
        raise _Undecodable from error
    except Exception as error:
        # A header's name that is not UTF-8, a stream that cannot be unpacked: each decoder has errors of its own.
        raise _Undecodable from error
    records: Sequence[Any] = found.get(where, [])
    return records


async def _read_past(consumer: Consumer, where: TopicPartition) -> Fetched:
    """Read one by one up to what cannot be decoded, and find the next offset that can."""
    records: list[Any] = []
    while len(records) < READ_LIMIT:
        try:
            found = await _records(consumer, where, PROBE_MS, 1)
        except _Undecodable as error:
            return Fetched(where.partition, records, await _pass(consumer, where, error))
        if not found:
            break
        records += found
    return Fetched(where.partition, records)


async def _pass(consumer: Consumer, where: TopicPartition, error: _Undecodable) -> Unreadable:
    """Go to the first offset that can be read: a step that doubles finds one, halving finds the first.

    A broker gives whole batches, so that each of the offsets in one that is damaged is as unreadable as the first.
    """
    first: int = await consumer.position(where)
    ends: Mapping[TopicPartition, int] = await consumer.end_offsets([where])
    last = max(first + 1, ends[where])
    bad, step = first, 1
    while (beyond := min(bad + step, last)) < last and not await _can_be_read(consumer, where, beyond):
        bad, step = beyond, 2 * step
    while beyond - bad > 1:
        middle = (bad + beyond) // 2
        if await _can_be_read(consumer, where, middle):
            beyond = middle
        else:
            bad = middle
    consumer.seek(where, beyond)
    cause = error.__cause__
    return Unreadable(first, beyond, cause if isinstance(cause, Exception) else error)


async def _can_be_read(consumer: Consumer, where: TopicPartition, offset: int) -> bool:
    consumer.seek(where, offset)
    try:
        await _records(consumer, where, PROBE_MS, 1)
    except _Undecodable:
        return False
    return True
