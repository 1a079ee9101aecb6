"""Scaled out: Kafka feeds the projections, and a consumer group shares the partitions among projectors.

Where to read from is the database's word, never Kafka's: `progress` has each partition's position and next offset. What
lies at or below the position is dropped, what the log does not have so is quarantined; where events are missing before
a record, or never come, the log fills in. So every partition of the log is some projector's, whatever the topic has.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from projector.batch import Batch, Held, MissingEvents, Poison, UnknownEvents
from projector.feeds.lateness import OVERDUE_SECONDS, Lateness
from projector.feeds.membership import Fetched, Member, Unreadable
from projector.log_batch import LogBatch
from projector.record_batch import Record, RecordBatch
from projector.relation import SESSION
from projector.runner import Runner, TakenOver
from shared.event_store.log import checkpoints, partition_count, partition_positions
from shared.events.cloudevents import Consumed, MalformedRecord, from_record
from shared.events.envelope import partition_of
from shared.runtime.background import background
from shared.runtime.backoff import Backoff, retry_forever
from shared.runtime.database import FAILURES, OwnConnection, Role, connected
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
POLL_SECONDS: Final = 0.5
RETRIED: Final[tuple[type[Exception], ...]] = (MissingEvents, UnknownEvents, *FAILURES)

QUIET_SECONDS: Final = 0.5
"""How often the checkpoints of partitions without news move, so that the Read-Position is found near to them."""


class KafkaFeed:
    """Follows the topic for one generation. Run `run()` as a task; it ends when cancelled.

    `trouble` says why it cannot go on, None while it can.
    """

    def __init__(self, settings: Settings, generation: int) -> None:
        self._settings, self._generation = settings, generation
        self._member = Member(settings, generation)
        self._consumption = Consumption(self._member)
        self._backoff = Backoff()
        self.trouble: str | None = None

    @property
    def from_log(self) -> Mapping[int, str]:
        """The partitions that are read from the log of late, or have to be, and why."""
        return self._consumption.from_log

    async def run(self) -> None:
        """Project for ever, with new connections after every failure of the database."""
        following = retry_forever(self._follow, RETRIED, self._on_failure, self._backoff)
        async with background(self._member.run()) as membership, background(following) as projection:
            # Neither goes on without the other.
            await asyncio.wait([membership, projection], return_when=asyncio.FIRST_COMPLETED)

    def _on_failure(self, error: Exception) -> None:
        if isinstance(error, MissingEvents | UnknownEvents):
            logger.error("the projection cannot go on: %s", error)
            self.trouble = str(error)
        else:
            logger.warning("the projector connects again: %s: %s", type(error).__name__, error)

    async def _follow(self) -> None:
        async with connected(self._settings.database_url, Role.PROJECTOR, SESSION) as reader:
            runner = await Runner.open(self._settings.database_url, self._generation)
            try:
                await self._consumption.resume(reader, runner)
                while True:
                    if await self._consumption.step():
                        self._backoff.reset()
                        self.trouble = None
            finally:
                runner.close()


class Consumption:
    """What one projector does with its partitions.

    Those that the group assigned to it are brought by Kafka. Others that it holds are read from the log: those that it
    had and no other has taken since, as when it is no member or the topic lacks them, and those that stand still.
    """

    _reader: OwnConnection
    _runner: Runner

    def __init__(self, member: Member) -> None:
        self._member, self._lateness = member, Lateness()
        self._partitions = 0
        self._held: dict[int, Held] = {}
        self._brought: frozenset[int] = frozenset()
        self._taken: Sequence[int] | None = None
        self._quiet_due = 0.0
        self._pause = 0.0

    @property
    def from_log(self) -> Mapping[int, str]:
        """The partitions that are read from the log of late, or have to be, and why."""
        return {**self._lateness.from_log, **lacking(self._member, self._partitions)}

    async def resume(self, reader: OwnConnection, runner: Runner) -> None:
        """Go on over these connections, with those partitions that no other projector has taken meanwhile."""
        self._reader, self._runner = reader, runner
        self._partitions = await partition_count(reader)
        self._brought, self._taken = frozenset(), None
        await self._give_up_lost()

    async def step(self) -> bool:
        """Take over what was assigned, project what has come, and fill in; return whether anything was projected."""
        try:
            if self._member.assigned is not self._taken:
                await self._take_over(self._member.assigned)
            fetched = await self._member.fetch(self._pause, BATCH_LIMIT)
            projected = await self._project_records([part for part in fetched if part.partition in self._brought])
            await self._watch()
            filled = await self._fill_in()
        except TakenOver:
            await self._give_up_lost()
            return False
        # What is left in the log is not to wait for what Kafka may bring.
        self._pause = 0.0 if filled else POLL_SECONDS
        return filled or projected

    async def _take_over(self, assigned: Sequence[int] | None) -> None:
        """Write what the group assigned; what is held besides is read from the log until another projector takes it."""
        self._brought, self._taken = frozenset(), assigned
        if assigned is None:
            return
        held, offsets = await self._runner.take_over(assigned)
        for partition in held.keys() - self._held.keys():
            self._lateness.forget(partition)
        self._held |= held
        self._brought = frozenset(assigned)
        if self._member.assigned is assigned:
            self._member.seek(offsets)

    async def _project_records(self, fetched: Sequence[Fetched]) -> bool:
        """Project what follows on what is held; a gap before it, and what cannot be read, come from the log."""
        records = await self._genuine(fetched)
        fresh: list[Record] = []
        last = {partition: at.position for partition, at in self._held.items()}
        for record in records:
            partition, event = record.partition, record.event
            if event.position <= last[partition]:
                continue
            if event.previous > last[partition]:
                known = last[partition]
                logger.warning("partition %d misses events between %d and %d", partition, known, event.position)
                # What precedes the gap goes first.
                await self._project_fresh(fresh)
                fresh = []
                await self._refill([partition], event.previous)
            fresh.append(record)
            last[partition] = event.position
        await self._project_fresh(fresh)
        for part in fetched:
            if part.unreadable and part.partition in self._held:
                await self._pass_over(part.partition, part.unreadable)
        return bool(fresh)

    async def _project_fresh(self, fresh: Sequence[Record]) -> None:
        if not fresh:
            return
        await self._project(RecordBatch(fresh, dict(self._held)))
        self._member.going_well()
        for partition, position in {record.partition: record.event.position for record in fresh}.items():
            self._lateness.brought(partition, position)

    async def _genuine(self, fetched: Sequence[Fetched]) -> Sequence[Record]:
        """Return the records that are events of the log and not projected yet; quarantine those that never were."""
        read: list[Record] = []
        strange: list[tuple[Poison, Exception]] = []
        for part in fetched:
            for record in part.records:
                try:
                    event = from_record(record.headers, record.value)
                    self._check_partition(part.partition, event)
                except MalformedRecord as error:
                    # If it should have been an event, the next one tells that it is missing, and the log has it.
                    strange.append((Poison(part.partition, None, None, record.value, record.offset), error))
                    continue
                at = self._held.get(part.partition)
                if at and event.position > at.position:
                    read.append(Record(part.partition, event, record.offset + 1))
                else:
                    self._lateness.brought(part.partition, event.position)
        false = await self._runner.false_claims(read)
        for number, claim in false.items():
            own = read[number]
            value = own.event.data.encode()
            strange.append((Poison(own.partition, None, None, value, own.next_offset - 1), claim))
        strange.sort(key=lambda found: (found[0].partition, found[0].kafka_offset))
        await self._runner.quarantine_strange(strange)
        return [record for number, record in enumerate(read) if number not in false]

    def _check_partition(self, partition: int, event: Consumed) -> None:
        if (own := partition_of(event.user_id, self._partitions)) != partition:
            message = f"an event of partition {own} has no place in partition {partition}"
            raise MalformedRecord(message)

    async def _pass_over(self, partition: int, unreadable: Unreadable) -> None:
        """Note what cannot be read, and take from the log at once what it should have been."""
        error = unreadable.error
        logger.warning(
            "offsets %d to %d of partition %d cannot be read, and come from the log: %s: %s",
            unreadable.offset,
            unreadable.beyond - 1,
            partition,
            type(error).__name__,
            error,
        )
        await self._runner.quarantine_strange([(Poison(partition, None, None, None, unreadable.offset), error)])
        in_log = await partition_positions(self._reader)
        await self._refill([partition], in_log[partition])

    async def _project(self, events: Batch) -> None:
        await self._runner.project(events)
        self._held |= events.held_afterwards

    async def _watch(self) -> None:
        """Move the checkpoints of partitions without news, and take over those that do not move though they should."""
        if (now := time.monotonic()) < self._quiet_due:
            return
        self._quiet_due = now + QUIET_SECONDS
        found = await checkpoints(self._reader, self._runner.generation)
        if not found:
            # The generation has been dropped.
            return
        in_log = [at.last for at in found]
        head = max(in_log)
        quiet = {p: at for p, at in self._held.items() if in_log[p] <= at.position < head}
        if quiet:
            events = LogBatch(min(at.position for at in quiet.values()), head, quiet, self._partitions)
            await self._runner.skip(events)
            self._held |= events.held_afterwards
        others = {at.partition: Held(at.position, at.epoch) for at in found if at.partition not in self._held}
        for partition in self._lateness.abandoned({p: at.position for p, at in others.items()}, in_log):
            self._held |= await self._runner.adopt(partition, others[partition])

    async def _fill_in(self) -> bool:
        """Take from the log, a batch at a time, what Kafka should have brought long ago, or cannot bring."""
        if not self._held:
            return False
        in_log = await partition_positions(self._reader)
        overdue = self._lateness.overdue({p: at.position for p, at in self._held.items()}, in_log)
        late = {p: at for p, at in self._held.items() if p in overdue or p not in self._brought}
        behind = {p: at for p, at in late.items() if at.position < in_log[p]}
        if not behind:
            return False
        after, upto = min(at.position for at in behind.values()), max(in_log[p] for p in behind)
        await self._project(LogBatch(after, min(after + BATCH_LIMIT, upto), behind, self._partitions))
        for partition in behind:
            if why := self._why_from_log(partition):
                self._lateness.filled(partition, why)
        return True

    def _why_from_log(self, partition: int) -> str | None:
        """Return the cause in words, None for a moment without an assignment, as while others join."""
        if partition in self._brought:
            return f"Kafka has not brought its events for {OVERDUE_SECONDS:.0f} seconds"
        if self._member.assigned is None and self._member.away_seconds < OVERDUE_SECONDS:
            return None
        if self._member.assigned is None:
            return self._member.trouble or "the consumer group gives no partitions"
        return lacking(self._member, self._partitions).get(partition, "its own projector does not bring its events")

    async def _refill(self, partitions: Collection[int], upto: int) -> None:
        """Project these partitions' events from the log, up to a position."""
        while (after := min(self._held[p].position for p in partitions)) < upto:
            held = {p: self._held[p] for p in partitions}
            await self._project(LogBatch(after, min(after + BATCH_LIMIT, upto), held, self._partitions))

    async def _give_up_lost(self) -> None:
        """Let go of what another projector has taken over; if the group should know that, join it again."""
        found = await checkpoints(self._reader, self._runner.generation)
        now = {at.partition: Held(at.position, at.epoch) for at in found}
        lost = {p for p, at in self._held.items() if p not in now or now[p].epoch != at.epoch}
        self._held = {p: now[p] for p in self._held.keys() - lost}
        for partition in lost:
            self._lateness.forget(partition)
        if lost and lost.isdisjoint(self._brought):
            return
        if lost:
            logger.warning("partitions %s moved to another projector; joining the group again", sorted(lost))
            self._member.rejoin()
        # What was dropped with the batch is read again.
        self._brought, self._taken = frozenset(), None


def lacking(member: Member, partitions: int) -> Mapping[int, str]:
    """Return the log's partitions that the topic does not have, as far as that is known, and the cause in words."""
    found = member.topic_partitions or partitions
    cause = f"the topic {member.topic} has only {found} of the log's {partitions} partitions until a relay adds them"
    return dict.fromkeys(range(found, partitions), cause)
