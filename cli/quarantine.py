"""`laurels quarantine`: what could not be applied, and what to do about it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import CliError
from projector import quarantine
from projector.runner import open_session
from shared.read_models.generations import served_generation
from shared.runtime.database import Connection, Record, Role, connect

T = TypeVar("T")

GENERATION_OF = "SELECT generation FROM quarantine JOIN generations USING (generation) WHERE quarantine_id = $1"


class QuarantineError(CliError):
    """The message is one sentence for the operator."""


def show_list(url: str, after: int, limit: int) -> None:
    """Print a page of the records in quarantine, and how to get the next."""
    rows = _run(url, lambda connection: quarantine.listed(connection, after, limit + 1))
    table = Table("Id", "Partition", "Position", "Offsets", "Records", "User", "When", "Missing", "Error")
    for row in rows[:limit]:
        table.add_row(*(escape(str(cell)) if cell is not None else "" for cell in _cells(row)))
    Console().print(table if table.row_count else "Nothing is in quarantine." if after == 0 else "There are no more.")
    if rows[limit:]:
        Console().print(f"There are more: laurels quarantine list --after {rows[limit - 1]['quarantine_id']}")


def _cells(row: Record) -> Sequence[object]:
    first, last = row["kafka_offset"], row["last_offset"]
    offsets, records = (
        (None, 1) if first is None else (f"{first} to {last}" if last > first else first, last - first + 1)
    )
    when = f"{row['quarantined_at']:%Y-%m-%d %H:%M:%S}"
    missing = "no" if row["applied"] else "yes"
    place = row["quarantine_id"], row["partition"], row["position"], offsets, records
    return *place, row["user_id"], when, missing, row["error"]


def show(url: str, quarantine_id: int) -> None:
    """Print one record with its bytes."""
    row = _run(url, lambda connection: quarantine.shown(connection, quarantine_id))
    if row is None:
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    for name, value in row.items():
        text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
        Console().print(f"{name}: {escape(text)}", soft_wrap=True)


def retry(url: str, quarantine_id: int) -> None:
    """Apply a record's event from the log."""
    try:
        _run(url, lambda connection: quarantine.retry(connection, quarantine_id), quarantine_id)
    except quarantine.NothingToRetry as error:
        raise QuarantineError(str(error)) from error
    except asyncpg.PostgresError as error:
        raise QuarantineError(f"It still cannot be applied: {error}.") from error
    Console().print(f"Record {quarantine_id} is applied.")


def drop(url: str, quarantine_id: int) -> None:
    """Forget a record."""
    if not _run(url, lambda connection: quarantine.drop(connection, quarantine_id)):
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    Console().print(f"Record {quarantine_id} is dropped; its user's statistics stay incomplete until a rebuild.")


def _run(url: str, work: Callable[[Connection], Coroutine[Any, Any, T]], quarantine_id: int = 0) -> T:
    return asyncio.run(_on_a_projector_session(url, work, quarantine_id))


async def _on_a_projector_session(
    url: str, work: Callable[[Connection], Coroutine[Any, Any, T]], quarantine_id: int
) -> T:
    """Work on a session of the generation that the record was put aside for, or of the one that is served."""
    connection = await connect(url, Role.PROJECTOR)
    try:
        generation = await connection.fetchval(GENERATION_OF, quarantine_id) or await served_generation(connection)
    finally:
        await connection.close()
    connection = await open_session(url, generation, large=False)
    try:
        return await work(connection)
    finally:
        await connection.close()
