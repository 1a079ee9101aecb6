"""Records that could not be applied: kept with their bytes, error and position, until an operator decides."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from projector.batch import Poison
from projector.relation import fill_where, upcast_into_batch
from shared.event_store.reading import events_at
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.generations import schema_name
from shared.read_models.read_model import Owner, ReadModel
from shared.read_models.registry import READ_MODELS, folded
from shared.runtime.database import Connection, Record
from shared.runtime.metrics import QUARANTINED
from shared.runtime.sql import sql

logger = logging.getLogger(__name__)

MARK: Final = "INSERT INTO incomplete_users (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
SHOW: Final = "SELECT * FROM quarantine WHERE quarantine_id = $1"
DROP: Final = "DELETE FROM quarantine WHERE quarantine_id = $1"
LOCK_PROGRESS: Final = "SELECT position FROM progress WHERE generation = $1 AND partition = $2 FOR UPDATE"


@dataclass(frozen=True, slots=True)
class Run:
    """Records of a partition at consecutive offsets with which the same is wrong; `record` is the first."""

    partition: int
    first: int
    last: int
    record: bytes | None
    error: str

    def goes_on(self, following: "Run") -> bool:
        """Tell whether another follows that is alike."""
        return (self.partition, self.last + 1, self.error) == (following.partition, following.first, following.error)


def runs_of(records: Iterable[tuple[Poison, Exception]]) -> Sequence[Run]:
    """Return consumed records that are no events as runs of alike ones."""
    runs: list[Run] = []
    for poison, error in records:
        offset = poison.kafka_offset or 0
        run = Run(poison.partition, offset, offset, poison.record, _words(error))
        if runs and runs[-1].goes_on(run):
            runs[-1] = replace(runs[-1], last=offset)
        else:
            runs.append(run)
    return runs


class NothingToRetry(Exception):
    """The record has no place in the log, or is not there; the message is one sentence."""


async def quarantine_record(
    connection: Connection, generation: int, poison: Poison, error: Exception, *, applied: bool
) -> None:
    """Keep a record, in the caller's transaction. `applied` tells that the log had the event, so nothing is missing."""
    what = _words(error)
    logger.error("partition %d, position %s was quarantined: %s", poison.partition, poison.position, what)
    await connection.execute(
        sql("projector.sql", "quarantine_record"),
        generation,
        poison.partition,
        poison.position,
        poison.user_id,
        poison.kafka_offset,
        poison.record,
        what,
        applied,
    )
    if not applied and poison.user_id is not None:
        await connection.execute(MARK, poison.user_id)
    QUARANTINED.inc()


async def quarantine_runs(connection: Connection, generation: int, runs: Sequence[Run]) -> None:
    """Keep runs of records that are no events. Each is told of once, however often it goes on or is read again."""
    columns = zip(*((run.partition, run.first, run.last, run.record, run.error) for run in runs), strict=True)
    begun = await connection.fetch(sql("projector.sql", "quarantine_runs"), generation, *map(list, columns))
    QUARANTINED.inc(sum(run.last - run.first + 1 for run in runs))
    if begun:
        first, more = begun[0], f" and {len(begun) - 1} more runs" if begun[1:] else ""
        logger.error(
            "partition %d: records from offset %d on were quarantined%s: %s",
            first["partition"],
            first["kafka_offset"],
            more,
            first["error"],
        )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


async def listed(connection: Connection, after: int, limit: int) -> Sequence[Record]:
    """Return so many of the quarantined records, after one, in the order of their ids, without their bytes."""
    return await connection.fetch(sql("projector.sql", "quarantined"), after, limit)


async def shown(connection: Connection, quarantine_id: int) -> Record | None:
    """Return one record with its bytes."""
    return await connection.fetchrow(SHOW, quarantine_id)


async def drop(connection: Connection, quarantine_id: int) -> bool:
    """Forget a record; return whether there was one. Its user stays marked: something is missing all the same."""
    return await connection.execute(DROP, quarantine_id) == "DELETE 1"


async def retry(connection: Connection, quarantine_id: int, models: Iterable[ReadModel] = READ_MODELS) -> None:
    """Apply a record's event from the log, in one transaction, on a session like a projector's own.

    The rows of a user or an achievement are folded again from their events: later ones may have been applied. Raises
    NothingToRetry, or the database's error if the event still cannot be applied; then nothing has changed.
    """
    async with connection.transaction():
        row = await shown(connection, quarantine_id)
        if row is None:
            raise NothingToRetry(f"There is no quarantined record {quarantine_id}.")
        if schema_name(row["generation"]) != await connection.fetchval("SELECT current_schema()"):
            raise NothingToRetry("The record is of a generation that is gone; drop it.")
        if not row["applied"]:
            await _apply(connection, row, models)
        await connection.execute(DROP, quarantine_id)
        if row["user_id"] is not None:
            await connection.execute(sql("projector.sql", "unmark"), row["user_id"], row["generation"])
        await connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")


async def _apply(connection: Connection, row: Record, models: Iterable[ReadModel]) -> None:
    if row["position"] is None:
        raise NothingToRetry("The record says no position in the log, so nothing can be applied; drop it.")
    projected = await connection.fetchval(LOCK_PROGRESS, row["generation"], row["partition"])
    if row["user_id"] is None:
        (recorded,) = await events_at(connection, [row["position"]])
        chosen, whose = "events_of_achievement", orjson.loads(recorded.data)["achievement_id"]
        await _withdraw(connection, Owner.ACHIEVEMENT, whose, models)
    else:
        chosen, whose = "events_of_user", row["user_id"]
        await _withdraw(connection, Owner.USER, whose, models)
    arguments = whose, projected, row["generation"], row["quarantine_id"]
    condition = sql("projector.sql", f"pieces/{chosen}")
    await fill_where(connection, condition, *arguments)
    await upcast_into_batch(connection, condition, *arguments)
    await connection.execute("SELECT pg_temp.fold()")


async def _withdraw(connection: Connection, owner: Owner, whose: int, models: Iterable[ReadModel]) -> None:
    """Delete an owner's rows, and tell the read models that sum them up."""
    for model in reversed([model for model in folded(models) if model.owner is owner]):
        if model.withdraw:
            await connection.execute(model.withdraw, whose)
        await connection.execute(f"DELETE FROM {model.table.name} WHERE {owner} = $1", whose)  # noqa: S608 - our own names
