"""Compares a generation, row for row, with what the log says it has to be, while traffic goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from projector.relation import array_literal, recreate_where, upcast_into_batch
from projector.runner import open_session
from shared.event_store.log import read_position
from shared.read_models.generations import schema_name
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, folded
from shared.runtime.database import Connection
from shared.runtime.sql import sql

SHOWN: Final = 3

CHECKSUM: Final = "SELECT count(*) AS rows, coalesce(sum(hash_record_extended(t, 0)), 0) AS checksum FROM ({rows}) AS t"
PROJECTED: Final = "SELECT position FROM progress WHERE generation = $1 ORDER BY partition"
NOTE: Final = "UPDATE generations SET verified_at = now(), verified_position = $2, drift = $3 WHERE generation = $1"


@dataclass(frozen=True, slots=True)
class TableCheck:
    """One table: how many rows the log says it has, how many differ, and the first of these as text."""

    table: str
    rows: int
    differing: int
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison found, at a Read-Position of the generation."""

    generation: int
    position: int
    tables: Sequence[TableCheck]

    @property
    def drift(self) -> int:
        """How many rows are missing or should not be there."""
        return sum(check.differing for check in self.tables)


async def verify(url: str, generation: int, models: Sequence[ReadModel] = READ_MODELS) -> Verification:
    """Compare every table that follows from the log, in one snapshot. Raises a database error."""
    connection = await open_session(url, generation, models, large=True)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            position = await read_position(connection, generation)
            await fill_applied(connection, generation)
            checks = [await _check(connection, generation, model) for model in folded(models)]
        found = Verification(generation, position, checks)
        await connection.execute(NOTE, generation, position, found.drift)
    finally:
        connection.terminate()
    return found


async def fill_applied(connection: Connection, generation: int) -> None:
    """Make the relation `batch` of every event that is in the rows of a generation."""
    projected = array_literal(row["position"] for row in await connection.fetch(PROJECTED, generation))
    applied = sql("projector.sql", "pieces/applied", projected=projected, generation=str(generation))
    await recreate_where(connection, applied)
    await upcast_into_batch(connection, applied)
    await connection.execute("ANALYZE batch")


async def _check(connection: Connection, generation: int, model: ReadModel) -> TableCheck:
    name, defined = model.table.name, f"defined_{model.name}"
    columns = ", ".join(column.name for column in model.table.columns)
    await connection.execute(f"CREATE TEMPORARY TABLE {defined} ({columns}) ON COMMIT DROP AS {model.definition}")
    await connection.execute(f"ANALYZE {defined}")
    wanted = f"SELECT * FROM {defined}"  # noqa: S608 - our own names
    found = f"SELECT * FROM {schema_name(generation)}.{name}"  # noqa: S608 - our own names
    sums = [await connection.fetchrow(CHECKSUM.format(rows=rows)) for rows in (wanted, found)]
    rows = sums[0]["rows"] if sums[0] else 0
    if sums[0] == sums[1]:
        return TableCheck(name, rows, 0, [])
    different = await connection.fetch(sql("projector.sql", "difference", wanted=wanted, found=found), SHOWN)
    return TableCheck(name, rows, different[0]["differing"], [f"{row['side']}: {row['text']}" for row in different])
