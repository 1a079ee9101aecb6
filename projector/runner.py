"""Folds batches into one generation: rows and checkpoint in one transaction."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg

from projector.batch import Batch, Held, Poison, UnknownEvents, UnreadableEvent
from projector.log_batch import LogBatch
from projector.quarantine import quarantine_record, quarantine_runs, runs_of
from projector.record_batch import Record, RecordBatch
from projector.relation import BULK_SESSION, SESSION, create_statements, fill_statement, in_range
from shared.event_store.log import partition_count
from shared.event_store.reading import events_at, false_claims
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.generations import schema_name
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, fold_functions, folded
from shared.runtime.database import COMMAND_TIMEOUT, Connection, OwnConnection, Role, connect
from shared.runtime.metrics import BATCH_SECONDS, PROJECTED, TAKEOVERS
from shared.runtime.sql import sql

logger = logging.getLogger(__name__)

ADVANCE: Final = sql("projector.sql", "advance")

SHORT: Final = 1_000
"""Events that are folded in one call at the most; where there are more, the calls are not what takes the time."""
PROJECT_RANGE: Final = "SELECT pg_temp.project_range($1, $2, $3, $4, $5, $6, $7, $8, $9)"

UNAPPLICABLE: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    # Such as data that are nested too deeply.
    asyncpg.ProgramLimitExceededError,
    UnreadableEvent,
)
"""Errors that lie in an event itself, so that no later attempt would end otherwise."""


class FalseClaim(Exception):
    """A record says of itself what the log does not say of the event at that position."""


class TakenOver(Exception):
    """Another projector has these partitions now: the batch was dropped, and nothing of it is in the rows."""


Amendment = tuple[str, Sequence[Any]]
"""A statement that changes the relation before it is folded, with its arguments: to ask what would have been."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """How a very large batch is folded: `stepped` is told the share of the work that is done."""

    stepped: Callable[[Batch, float], Awaitable[None]]
    amendments: Sequence[Amendment] = ()

    async def prepare(self, connection: Connection) -> None:
        """Amend the relation, and tell the planner what is in it."""
        for statement, arguments in self.amendments:
            await connection.execute(statement, *arguments)
        # To know roughly how many users there are is enough.
        await connection.execute("SET LOCAL default_statistics_target = 10")
        await connection.execute("ANALYZE batch")


async def open_session(
    url: str, generation: int, models: Sequence[ReadModel] = READ_MODELS, *, large: bool
) -> OwnConnection:
    """Connect as a projector of this generation, with an empty `batch` and the folds. Raises one of UNREACHABLE."""
    settings = {**(BULK_SESSION if large else SESSION), "search_path": f"{schema_name(generation)}, public"}
    timeout = None if large else COMMAND_TIMEOUT
    connection = await connect(url, Role.PROJECTOR, settings, command_timeout=timeout)
    fill = fill_statement(in_range("$7", "$8", "$9"))
    project_range = sql("projector.sql", "project_range", advance=ADVANCE, fill=fill)
    for statement in (*create_statements(), *fold_functions(models), project_range):
        await connection.execute(statement)
    return connection


class Runner:
    """A connection that writes one generation."""

    def __init__(
        self, connection: OwnConnection, generation: int, models: Sequence[ReadModel], bulk: Bulk | None
    ) -> None:
        self._connection, self._models, self._bulk = connection, models, bulk
        self.generation = generation

    @classmethod
    async def open(
        cls, url: str, generation: int, models: Sequence[ReadModel] = READ_MODELS, *, bulk: Bulk | None = None
    ) -> Self:
        """Connect for a generation, for batches that are small, or very large ones. Raises one of UNREACHABLE."""
        return cls(await open_session(url, generation, models, large=bulk is not None), generation, models, bulk)

    def close(self) -> None:
        """Drop the connection, and with it a transaction that is under way."""
        self._connection.terminate()

    async def take_over(
        self, partitions: Iterable[int] | None = None
    ) -> tuple[dict[int, Held], Mapping[int, int | None]]:
        """Become the one who may write these partitions, or all; those who held them before are refused from now on.

        Returns where each one is, and the Kafka offset to read next, None where nothing came from Kafka yet.
        """
        wanted = None if partitions is None else list(partitions)
        rows = await self._connection.fetch(sql("projector.sql", "take_over"), self.generation, wanted)
        held = {row["partition"]: Held(row["position"], row["epoch"]) for row in rows}
        return held, {row["partition"]: row["kafka_offset"] for row in rows}

    async def adopt(self, partition: int, at: Held) -> dict[int, Held]:
        """Take over a partition that is still where it was and under the same epoch; return nothing if it moved."""
        rows = await self._connection.fetch(
            sql("projector.sql", "adopt"), self.generation, partition, at.position, at.epoch
        )
        return {row["partition"]: Held(row["position"], row["epoch"]) for row in rows}

    async def false_claims(self, records: Sequence[Record]) -> dict[int, FalseClaim]:
        """Return which of these records, by their index, are not the log's own, and why: the log is believed."""
        if not records:
            return {}
        rows = await false_claims(
            self._connection,
            [record.event.position for record in records],
            [record.partition for record in records],
            [record.event.user_id for record in records],
            [record.event.event_id for record in records],
        )
        return {row["number"]: _false_claim(row) for row in rows}

    async def project(self, events: Batch) -> None:
        """Fold a batch into the rows; an event that cannot be applied is quarantined, and the others go on.

        Raises TakenOver, UnknownEvents, MissingEvents or a database error; then what follows was not written.
        """
        try:
            with BATCH_SECONDS.time():
                PROJECTED.inc(await self._apply(events))
        except UNAPPLICABLE as error:
            await self._bisect(events, error)
        except UnknownEvents as error:
            # A copy in Kafka may be damaged; what the log itself has waits for the code that knows it.
            if events.size == 1 and not isinstance(events, RecordBatch):
                raise
            await self._bisect(events, error)

    async def skip(self, nothing: Batch) -> None:
        """Move the checkpoints over a batch in which there is no event. Raises TakenOver or a database error."""
        async with self._connection.transaction():
            await self._advance(nothing)

    async def quarantine_record(self, poison: Poison, error: Exception, *, applied: bool) -> None:
        """Keep a record that is not projected and moves no checkpoint: one whose headers cannot be read."""
        async with self._connection.transaction():
            await quarantine_record(self._connection, self.generation, poison, error, applied=applied)

    async def quarantine_strange(self, records: Sequence[tuple[Poison, Exception]]) -> None:
        """Keep records that are no events, in the order of their offsets; a run of alike ones is one row."""
        if records:
            await quarantine_runs(self._connection, self.generation, runs_of(records))

    async def _apply(self, events: Batch) -> int:
        if isinstance(events, LogBatch) and events.size <= SHORT and not self._bulk:
            # What is unusual has nothing written, and is gone through step by step.
            with contextlib.suppress(asyncpg.RaiseError):
                await self._connection.execute(PROJECT_RANGE, *self._advance_arguments(events), *events.arguments())
                return events.size
        async with self._connection.transaction():
            await self._advance(events)
            filled = await events.fill(self._connection)
            if self._bulk:
                await self._fold_in_bulk(events, self._bulk)
            else:
                await self._connection.execute("SELECT pg_temp.fold()")
        return filled

    async def _fold_in_bulk(self, events: Batch, bulk: Bulk) -> None:
        await bulk.prepare(self._connection)
        empty = all(advance.old == 0 for advance in events.advances)
        chosen = folded(self._models)
        for number, model in enumerate(chosen, 1):
            await bulk.stepped(events, number / (len(chosen) + 1))
            table = model.table
            if keyed_late := empty and model.keyed_late:
                await self._connection.execute(f"ALTER TABLE {table.name} DROP CONSTRAINT {table.name}_pkey")
            await self._connection.execute(f"SELECT pg_temp.fold_{model.name}()")
            if keyed_late:
                key = ", ".join(column.name for column in table.primary_key.columns)
                await self._connection.execute(f"ALTER TABLE {table.name} ADD PRIMARY KEY ({key})")

    async def _advance(self, events: Batch) -> None:
        # First of all, so that the rows stay locked: another projector with the same batch waits here, and is refused.
        status = await self._connection.execute(ADVANCE, *self._advance_arguments(events))
        if int(status.split()[-1]) != len(events.advances):
            TAKEOVERS.inc()
            raise TakenOver

    def _advance_arguments(self, events: Batch) -> tuple[Any, ...]:
        advances = sorted(events.advances, key=lambda advance: advance.partition)
        columns = zip(*((a.partition, a.old, a.new, a.epoch, a.kafka_offset) for a in advances), strict=True)
        return self.generation, *map(list, columns)

    async def _bisect(self, events: Batch, error: Exception) -> None:
        if events.size > 1:
            for half in events.halves():
                await self.project(half)
        else:
            await self._isolate(events, error)

    async def _isolate(self, events: Batch, error: Exception) -> None:
        poison = await events.poison(self._connection)
        if isinstance(events, RecordBatch) and await self._heal(events):
            await self.quarantine_record(poison, error, applied=True)
            return
        async with self._connection.transaction():
            await self._advance(events)
            await quarantine_record(self._connection, self.generation, poison, error, applied=False)
            await self._connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")

    async def _heal(self, events: RecordBatch) -> bool:
        """Apply the event of a damaged record as the log has it; return whether that could be done."""
        (advance,) = events.advances
        recorded = await events_at(self._connection, [advance.new])
        if [advance.partition] != [event.partition for event in recorded]:
            return False
        partitions = await partition_count(self._connection)
        held = {advance.partition: Held(advance.old, advance.epoch)}
        try:
            PROJECTED.inc(await self._apply(LogBatch(advance.new - 1, advance.new, held, partitions)))
        except UNAPPLICABLE:
            return False
        return True


def _false_claim(row: asyncpg.Record) -> FalseClaim:
    # The same words for all: a run of alike records is quarantined as one.
    if not row["known"]:
        return FalseClaim("the log does not reach its position")
    if not row["same"]:
        return FalseClaim("the log has another event at its position")
    return FalseClaim("the log has another user or partition for this event")
