"""The one writer: commands wait in a queue, and a loop commits all that wait as one group.

A group is one transaction under the lock of the log's head. Its commands are decided one after another, then their
events are appended, and only after the commit are the commands answered. A command that is refused, or that cannot be
decided or committed for a reason of its own, fails alone. If the database fails, the whole group fails, and nothing of
it is appended.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from command_api import idempotency
from command_api.answers import Answer
from command_api.decisions.state import Catalogue
from command_api.group import Group, Submission, fault
from command_api.waiting import FairQueue
from command_api.write_model.loading import load
from command_api.write_model.saving import head_of, save
from shared.event_store.appending import append, lock_head
from shared.runtime.background import background
from shared.runtime.database import UNREACHABLE, OwnConnection, Role, connect
from shared.runtime.metrics import COMMANDS, GROUP_SIZE

logger = logging.getLogger(__name__)

SINGLES_LIMIT: Final = 1_000
"""Single commands in one group at the most, which bounds the wait of each."""
BULK_LIMIT: Final = 500
"""Commands of bulk requests in one group, to which the last chunk that is taken may add."""
QUEUE_LIMIT: Final = 20_000
"""Single commands that may wait; more are told to come back. Bulk requests wait with one chunk each."""
FAULTS_LIMIT: Final = 5
"""Commands that may fail one after another with nothing appended between them; more is a fault of the database."""
FAILURE_SECONDS: Final = 5.0
"""How long a failure is reported if no other commands come; a service that is not ready is not sent any."""

SESSION: Final = {
    # Waiting longer for the head of the log means that something is stuck; the producer is told, and comes again.
    "lock_timeout": "10s",
    # A process that hangs in the middle of a group must not keep the log from the others.
    "idle_in_transaction_session_timeout": "10s",
    # What is answered is on disk, whatever the server's own setting says.
    "synchronous_commit": "on",
}


class DatabaseUnavailable(Exception):
    """A command was not committed; whether it was, is not known if the connection broke during the commit."""


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
        self._faults = 0
        self._failed_at = 0.0

    @property
    def trouble(self) -> str | None:
        """Say that the last commands could not be written, for some seconds after the last of them failed."""
        recent = time.monotonic() - self._failed_at < FAILURE_SECONDS
        return "the last commands could not be written" if recent and self._faults >= FAULTS_LIMIT else None

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
        given: list[Answer] = []
        try:
            given = await self._settle([submission for waiting in group for submission in waiting.submissions])
        finally:
            start = 0
            for waiting in group:
                end = start + len(waiting.submissions)
                if not waiting.answered.done():
                    if end <= len(given):
                        waiting.answered.set_result(given[start:end])
                    else:
                        waiting.answered.set_exception(DatabaseUnavailable())
                start = end

    async def _settle(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Commit a group, and return the answers to its commands up to where the database failed.

        A command that keeps the others from being committed is found by halving, and answered with 500. Where
        FAULTS_LIMIT commands fail with nothing appended between them, it is the database that fails.
        """
        given: list[Answer] = []
        parts, tolerated = [submissions], FAULTS_LIMIT
        while parts and tolerated:
            part = parts.pop()
            try:
                group = await self._commit(part)
            except UNREACHABLE as error:
                self._disconnect()
                self._failed(FAULTS_LIMIT)
                logger.warning("%d commands were not committed: %s", len(submissions) - len(given), error)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not to reach the other commands
                # The catalogue may have what was rolled back.
                self._catalogue = Catalogue()
                if len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                    continue
                given.append(fault(part[0].command, error))
                tolerated -= 1
                self._failed()
            else:
                given += group.answers
                if group.events:
                    tolerated, self._faults = FAULTS_LIMIT, 0
        return given

    def _failed(self, faults: int = 1) -> None:
        self._faults += faults
        self._failed_at = time.monotonic()

    async def _commit(self, submissions: Sequence[Submission]) -> Group:
        connection = await self._connected()
        async with connection.transaction():
            head = await lock_head(connection)
            state = await load(connection, head, self._catalogue, [submission.command for submission in submissions])
            keys = [submission.keyed for submission in submissions if submission.keyed]
            group = Group(state, await idempotency.recall(connection, state, keys))
            group.decide(submissions)
            if group.events:
                head = head_of(state, head.partition_positions)
                await append(connection, head, group.events, group.event_ids(), group.data)
                await save(connection, state, group.events)
            await idempotency.remember(connection, group.to_remember, state.now)
        GROUP_SIZE.observe(len(submissions))
        for labels, count in group.outcomes.items():
            COMMANDS.labels(*labels).inc(count)
        return group

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


@contextlib.asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[Appender, asyncio.Task[None]]]:
    """Run an appender for as long as the context lasts; yield it with its task."""
    appender = Appender(url)
    async with background(appender.run()) as task:
        yield appender, task
