"""Records that could not be applied: kept with their bytes, error and place, until an operator decides."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from projector.batch import Poison, fill_where, upcast_into_batch
from shared.event_store.reading import events_at
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.generations import schema_name
from shared.read_models.read_model import Owner, ReadModel
from shared.read_models.registry import READ_MODELS, folded
from shared.runtime.database import Connection, Record
from shared.runtime.metrics import QUARANTINED

logger = logging.getLogger(__name__)

# A record that moves no checkpoint is read again after a restart.
INSERT_RECORD: Final = """
INSERT INTO quarantine (generation, partition, position, user_id, kafka_offset, record, error, applied)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.generation = $1 AND q.partition = $2 AND q.kafka_offset = $5 AND q.record IS NOT DISTINCT FROM $6)
"""
# Where a run goes on, or is read again after a restart, there is a row that it begins in or right after.
INSERT_RUNS: Final = """
WITH run AS (
    SELECT r.*, known.quarantine_id, known.last AS known_last
    FROM unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[])
        AS r (partition, first, last, record, error)
    LEFT JOIN LATERAL (
        SELECT quarantine_id, position, record, error,
               kafka_offset AS first, coalesce(last_offset, kafka_offset) AS last
        FROM quarantine q WHERE q.generation = $1 AND q.partition = r.partition AND q.kafka_offset <= r.first
        ORDER BY kafka_offset DESC, quarantine_id DESC LIMIT 1
    ) AS known ON known.position IS NULL AND known.last >= r.first - 1 AND known.error = r.error
        AND (known.first < r.first OR known.record IS NOT DISTINCT FROM r.record)
), longer AS (
    UPDATE quarantine q SET last_offset = run.last FROM run
    WHERE q.quarantine_id = run.quarantine_id AND run.last > run.known_last
)
INSERT INTO quarantine (generation, partition, kafka_offset, last_offset, record, error, applied)
SELECT $1, partition, first, last, record, error, true FROM run WHERE quarantine_id IS NULL
RETURNING partition, kafka_offset, error
"""
MARK: Final = "INSERT INTO incomplete_users (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
LIST: Final = """
SELECT quarantine_id, generation, partition, position, user_id, kafka_offset,
       coalesce(last_offset, kafka_offset) AS last_offset, error, applied, quarantined_at
FROM quarantine WHERE quarantine_id > $1 ORDER BY quarantine_id LIMIT $2
"""
SHOW: Final = "SELECT * FROM quarantine WHERE quarantine_id = $1"
DROP: Final = "DELETE FROM quarantine WHERE quarantine_id = $1"
LOCK_PROGRESS: Final = "SELECT position FROM progress WHERE generation = $1 AND partition = $2 FOR UPDATE"

AND_APPLICABLE: Final = """ AND position <= $2 AND position NOT IN (
    SELECT position FROM quarantine
    WHERE generation = $3 AND NOT applied AND position IS NOT NULL AND quarantine_id <> $4)"""
EVENTS_OF_USER: Final = "user_id = $1" + AND_APPLICABLE
EVENTS_OF_ACHIEVEMENT: Final = (
    "type IN ('achievement-defined', 'achievement-translated') AND (data ->> 'achievement_id')::bigint = $1"
    + AND_APPLICABLE
)
UNMARK: Final = """
DELETE FROM incomplete_users WHERE user_id = $1 AND NOT EXISTS (
    SELECT FROM quarantine WHERE generation = $2 AND user_id = $1 AND NOT applied)
"""


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
    logger.error("partition %d, position %s was put aside: %s", poison.partition, poison.position, what)
    await connection.execute(
        INSERT_RECORD,
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
    begun = await connection.fetch(INSERT_RUNS, generation, *map(list, columns))
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
    return await connection.fetch(LIST, after, limit)


async def shown(connection: Connection, quarantine_id: int) -> Record | None:
    """Return one record with its bytes."""
    return await connection.fetchrow(SHOW, quarantine_id)


async def drop(connection: Connection, quarantine_id: int) -> bool:
    """Forget a record; return whether there was one. Its user stays marked: something is missing all the same."""
    return await connection.execute(DROP, quarantine_id) == "DELETE 1"


async def retry(connection: Connection, quarantine_id: int, models: Iterable[ReadModel] = READ_MODELS) -> None:
    """Apply a record's event from the log, in one transaction, on a session like a projector's own.

    The rows of a user or an achievement are folded anew from their events: later ones may have been applied. Raises
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
            await connection.execute(UNMARK, row["user_id"], row["generation"])
        await connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")


async def _apply(connection: Connection, row: Record, models: Iterable[ReadModel]) -> None:
    if row["position"] is None:
        raise NothingToRetry("The record says no position in the log, so nothing can be applied; drop it.")
    projected = await connection.fetchval(LOCK_PROGRESS, row["generation"], row["partition"])
    if row["user_id"] is None:
        (recorded,) = await events_at(connection, [row["position"]])
        condition, whose = EVENTS_OF_ACHIEVEMENT, orjson.loads(recorded.data)["achievement_id"]
        await _withdraw(connection, Owner.ACHIEVEMENT, whose, models)
    else:
        condition, whose = EVENTS_OF_USER, row["user_id"]
        await _withdraw(connection, Owner.USER, whose, models)
    arguments = whose, projected, row["generation"], row["quarantine_id"]
    await fill_where(connection, condition, *arguments)
    await upcast_into_batch(connection, condition, *arguments)
    await connection.execute("SELECT pg_temp.fold()")


async def _withdraw(connection: Connection, owner: Owner, whose: int, models: Iterable[ReadModel]) -> None:
    """Delete an owner's rows, and tell the read models that sum them up."""
    for model in reversed([model for model in folded(models) if model.owner is owner]):
        if model.withdraw:
            await connection.execute(model.withdraw, whose)
        await connection.execute(f"DELETE FROM {model.table.name} WHERE {owner} = $1", whose)  # noqa: S608 - our own names
