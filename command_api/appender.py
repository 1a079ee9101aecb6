"""The one writer: commands wait in a queue, a loop takes all that wait and commits them as one group.

A group is one transaction under the lock of the log's head. Its commands are decided one after another, each seeing
what those before it decided; then all events are inserted with the next positions, and only after the commit is anybody
answered. A command that is refused, or that cannot be decided or committed for a reason of its own, fails alone. If
the database is away, the whole group fails, and nothing of it is appended.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import asyncpg

from command_api import answers, idempotency, write_model
from command_api.answers import Answer
from command_api.decisions import Command
from command_api.decisions.state import Catalogue, State
from command_api.idempotency import Keyed, Memory
from command_api.waiting import FairQueue
from shared.domain.errors import DomainError, IdempotencyKeyReused
from shared.event_store.log import APPENDED_CHANNEL
from shared.events import codec
from shared.events.envelope import partition_of
from shared.events.types import Event
from shared.http import problems
from shared.runtime.background import background
from shared.runtime.database import UNREACHABLE, OwnConnection, Role, connect
from shared.runtime.metrics import COMMANDS, GROUP_SIZE

logger = logging.getLogger(__name__)

SINGLES_LIMIT: Final = 1_000
"""Single commands in one group at the most, so that nobody waits behind more than this."""
BULK_LIMIT: Final = 500
"""Commands of bulk requests in one group, to which the last chunk that is taken may add."""
QUEUE_LIMIT: Final = 20_000
"""Single commands that may wait; more are told to come back. Bulk requests wait with one chunk each."""
FAILURE_SECONDS: Final = 5.0
"""How long a failure is told if no other commands come; with it the service is not sent any."""

SESSION: Final = {
    # Waiting longer for the head of the log means that something is stuck; the producer is told, and comes again.
    "lock_timeout": "10s",
    # A process that hangs in the middle of a group must not keep the log from the others.
    "idle_in_transaction_session_timeout": "10s",
    # What is answered is on disk, whatever the server's own setting says.
    "synchronous_commit": "on",
}

APPEND = """
WITH appended AS (
    INSERT INTO events (position, event_id, partition, type, schema_version, user_id, data, recorded_at)
    SELECT position, event_id, partition, type, schema_version, user_id, data::jsonb, $8
    FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::text[], $5::smallint[], $6::bigint[], $7::text[])
        AS e (position, event_id, partition, type, schema_version, user_id, data)
), moved AS (
    UPDATE log_head SET position = $9, recorded_at = $8, partition_positions = $10, catalogue_position = $11,
                        last_user_id = $12, last_achievement_id = $13
)
SELECT pg_notify($14, $9::bigint::text)
"""


class DatabaseUnavailable(Exception):
    """The group could not be committed; whether it was, is not known if the connection broke during the commit."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A command, with its Idempotency-Key if it has one."""

    command: Command
    keyed: Keyed | None = None


@dataclass(slots=True, eq=False)
class _Waiting:
    submissions: Sequence[Submission]
    answered: asyncio.Future[list[Answer]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Appender:
    """Owns the queue and the connection that writes. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._singles: FairQueue[_Waiting] = FairQueue(QUEUE_LIMIT)
        self._bulks: FairQueue[_Waiting] = FairQueue()
        self._wake = asyncio.Event()
        self._connection: OwnConnection | None = None
        self._catalogue = Catalogue()
        self._failed_at: float | None = None

    @property
    def trouble(self) -> str | None:
        """Say that the last commands could not be written, for some seconds after they were refused."""
        recent = self._failed_at is not None and time.monotonic() - self._failed_at < FAILURE_SECONDS
        return "the last commands could not be written" if recent else None

    async def submit(self, submission: Submission, *, client: str = "") -> Answer:
        """Decide and append one command. Raises Overloaded or DatabaseUnavailable."""
        return (await self._enqueue(self._singles, client, [submission]))[0]

    async def submit_many(self, submissions: Sequence[Submission], *, client: str = "") -> list[Answer]:
        """Decide and append a chunk of a bulk request, about BULK_LIMIT commands at the most, in one group.

        Single commands go before it, and chunks of different clients take turns. Raises DatabaseUnavailable.
        """
        return await self._enqueue(self._bulks, client, submissions)

    async def run(self) -> None:
        """Commit groups until cancelled."""
        try:
            while True:
                await self._wake.wait()
                group = self._take()
                if group:
                    await self._serve(group)
                else:
                    self._wake.clear()
        finally:
            self._disconnect()
            for waiting in (*self._singles, *self._bulks):
                waiting.answered.cancel()

    async def _enqueue(
        self, queue: FairQueue[_Waiting], client: str, submissions: Sequence[Submission]
    ) -> list[Answer]:
        waiting = _Waiting(submissions)
        queue.put(client, waiting)
        self._wake.set()
        return await waiting.answered

    def _take(self) -> list[_Waiting]:
        group = [self._singles.take() for _ in range(min(SINGLES_LIMIT, len(self._singles)))]
        # However long an import is, a single command waits for a chunk or two of it at the most.
        in_bulk = 0
        while self._bulks and in_bulk < BULK_LIMIT:
            group.append(chunk := self._bulks.take())
            in_bulk += len(chunk.submissions)
        return group

    async def _serve(self, group: list[_Waiting]) -> None:
        submissions = [submission for waiting in group for submission in waiting.submissions]
        try:
            given = await self._settle(submissions)
        except UNREACHABLE as error:
            self._disconnect()
            logger.warning("a group of %d commands was not committed: %s", len(submissions), error)
            self._failed_at = time.monotonic()
            for waiting in group:
                if not waiting.answered.done():
                    waiting.answered.set_exception(DatabaseUnavailable(str(error)))
            return
        self._failed_at = None
        remaining = iter(given)
        for waiting in group:
            own = [next(remaining) for _ in waiting.submissions]
            if not waiting.answered.done():
                waiting.answered.set_result(own)

    async def _settle(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Commit a group. A command that keeps it from being committed is found by halving, and answered with 500."""
        try:
            return await self._commit(submissions)
        except UNREACHABLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not to reach the other commands
            # The catalogue may have what was rolled back.
            self._catalogue = Catalogue()
            if len(submissions) == 1:
                return [_fault(submissions[0].command, error)]
        half = len(submissions) // 2
        return [*await self._settle(submissions[:half]), *await self._settle(submissions[half:])]

    async def _commit(self, submissions: Sequence[Submission]) -> list[Answer]:
        connection = await self._connected()
        async with connection.transaction():
            head = await write_model.lock_head(connection)
            commands = [submission.command for submission in submissions]
            state = await write_model.load(connection, head, self._catalogue, commands)
            group = Group(state, await _recall(connection, state, submissions))
            given = [group.answer(submission) for submission in submissions]
            await _append(connection, head["partition_positions"], group)
            await write_model.save(connection, state, [event for event, _, _ in group.events])
            await idempotency.remember(connection, group.to_remember, state.now)
        GROUP_SIZE.observe(len(submissions))
        for labels, count in group.outcomes.items():
            COMMANDS.labels(*labels).inc(count)
        return given

    async def _connected(self) -> OwnConnection:
        if self._connection is None or self._connection.is_closed():
            # What another process or a failed group left of the catalogue is not to be trusted.
            self._catalogue = Catalogue()
            self._connection = await connect(self._url, Role.COMMAND, SESSION)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class Group:
    """Decides the commands of one group, one after another, and collects what is to be written."""

    def __init__(self, state: State, memories: dict[str, Memory]) -> None:
        self.state = state
        self._memories = memories
        self.events: list[tuple[Event, UUID | None, str]] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.to_remember: list[tuple[Keyed, Answer]] = []

    def answer(self, submission: Submission) -> Answer:
        """Return the answer to one command; an event that follows from it joins `events`."""
        keyed = submission.keyed
        if keyed is None:
            return self._decide(submission.command, None)
        memory = self._memories.get(keyed.key)
        if memory is None:
            answer = self._decide(submission.command, keyed)
            # What was not valid or failed here is not remembered: once that is mended, the key is used again.
            if answer.status not in {400, 500}:
                self._memories[keyed.key] = Memory(keyed.fingerprint, replace(answer, replayed=True))
                self.to_remember.append((keyed, answer))
            return answer
        if memory.fingerprint != keyed.fingerprint:
            reused = IdempotencyKeyReused("This Idempotency-Key came with another command before.")
            return answers.refusal(problems.from_domain(reused))
        return memory.answer

    def _decide(self, command: Command, keyed: Keyed | None) -> Answer:
        try:
            return self._decided(command, keyed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not to reach the other commands
            self.outcomes[command.type, "internal-error"] += 1
            return _fault(command, error)

    def _decided(self, command: Command, keyed: Keyed | None) -> Answer:
        try:
            event = command.decide(self.state)
        except DomainError as error:
            self.outcomes[command.type, error.code] += 1
            return answers.refusal(problems.from_domain(error))
        # Recording comes last of what may raise, so that the state never has an event that is not appended.
        answer = answers.success(event, self.state)
        data = codec.encode(event)
        self.state.record(event)
        self.events.append((event, keyed.event_id if keyed else None, data))
        self.outcomes[command.type, "accepted"] += 1
        return answer


def _fault(command: Command, error: Exception) -> Answer:
    """Log what a command raised, and return its answer, which has nothing of that but the id."""
    problem = problems.internal_error()
    logger.error("%s failed, answered as %s", command.type, problem.instance, exc_info=error)
    return answers.refusal(problem)


async def _recall(connection: OwnConnection, state: State, submissions: Sequence[Submission]) -> dict[str, Memory]:
    keyed = [submission.keyed for submission in submissions if submission.keyed]
    if not keyed:
        return {}
    memories = await idempotency.remembered(connection, list({k.key for k in keyed}))
    unknown = {k.event_id: k for k in keyed if k.key not in memories}
    if unknown:
        for event_id, row in (await idempotency.appended(connection, list(unknown))).items():
            forgotten = unknown[event_id]
            memories[forgotten.key] = Memory(forgotten.fingerprint, await _answer_again(connection, state, row))
    return memories


async def _answer_again(connection: OwnConnection, state: State, row: asyncpg.Record) -> Answer:
    """Answer for an event whose remembered answer has expired: as it was, in the texts of today."""
    event = codec.decode(row["type"], row["schema_version"], row["data"])
    user_id = event.subject
    if user_id is not None:
        await write_model.load_users(connection, state, [user_id])
    return answers.repeated(event, replace(state, now=row["recorded_at"]), row["position"])


async def _append(connection: OwnConnection, partition_positions: list[int], group: Group) -> None:
    if not group.events:
        return
    state, count = group.state, len(group.events)
    first = state.position - count + 1
    subjects = [event.subject for event, _, _ in group.events]
    partitions = [partition_of(user_id, len(partition_positions)) for user_id in subjects]
    for position, partition in enumerate(partitions, first):
        partition_positions[partition] = position
    types = [event.type for event, _, _ in group.events]
    event_ids = [event_id for _, event_id, _ in group.events]
    fresh = iter(idempotency.fresh_event_ids(event_ids.count(None)))
    await connection.execute(
        APPEND,
        list(range(first, first + count)),
        [event_id or next(fresh) for event_id in event_ids],
        partitions,
        types,
        [codec.SCHEMA_VERSIONS[type_name] for type_name in types],
        subjects,
        [data for _, _, data in group.events],
        state.now,
        state.position,
        partition_positions,
        state.catalogue.position,
        state.last_user_id,
        state.last_achievement_id,
        APPENDED_CHANNEL,
    )


@contextlib.asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[Appender, asyncio.Task[None]]]:
    """Run an appender for as long as the context lasts; yield it with its task."""
    appender = Appender(url)
    async with background(appender.run()) as task:
        yield appender, task
