"""`laurels quarantine`: records that could not be applied, retried or dropped by an operator."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.console import CliError, print_json, print_sentence
from projector import quarantine
from projector.runner import open_session
from shared.read_models.generations import served_generation
from shared.runtime.database import Connection, Record, Role, connected

T = TypeVar("T")

GENERATION_OF = "SELECT generation FROM quarantine JOIN generations USING (generation) WHERE quarantine_id = $1"


class QuarantineError(CliError):
    """The message is one sentence for the operator."""


def show_list(url: str, after: int, limit: int, *, as_json: bool) -> None:
    """Print a page of the records in quarantine, and how to get the next."""
    rows = _run(url, lambda connection: quarantine.listed(connection, after, limit + 1))
    if as_json:
        following = rows[limit - 1]["quarantine_id"] if rows[limit:] else None
        print_json({"records": [dict(row) for row in rows[:limit]], "next_after": following})
        return
    table = Table("Id", "Partition", "Position", "Offsets", "Records", "User", "When", "Missing", "Error")
    for row in rows[:limit]:
        table.add_row(*(escape(str(cell)) if cell is not None else "" for cell in _cells(row)))
    Console().print(table if table.row_count else "Nothing is in quarantine." if after == 0 else "There are no more.")
    if rows[limit:]:
        print_sentence(f"There are more: laurels quarantine list --after {rows[limit - 1]['quarantine_id']}")


def _cells(row: Record) -> Sequence[object]:
    first, last = row["kafka_offset"], row["last_offset"]
    offsets, records = (
        (None, 1) if first is None else (f"{first} to {last}" if last > first else first, last - first + 1)
    )
    when = f"{row['quarantined_at']:%Y-%m-%d %H:%M:%S}"
    missing = "no" if row["applied"] else "yes"
    return (
        row["quarantine_id"],
        row["partition"],
        row["position"],
        offsets,
        records,
        row["user_id"],
        when,
        missing,
        row["error"],
    )


def show(url: str, quarantine_id: int, *, as_json: bool) -> None:
    """Print one record with its bytes. Raises QuarantineError."""
    row = _run(url, lambda connection: quarantine.shown(connection, quarantine_id))
    if row is None:
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    if as_json:
        print_json(dict(row))
        return
    for name, value in row.items():
        text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
        print_sentence(f"{name}: {text}")


def retry(url: str, quarantine_id: int) -> None:
    """Apply a record's event from the log."""
    try:
        _run(url, lambda connection: quarantine.retry(connection, quarantine_id), quarantine_id)
    except quarantine.NothingToRetry as error:
        raise QuarantineError(str(error)) from error
    except asyncpg.PostgresError as error:
        raise QuarantineError(f"It still cannot be applied: {error}.") from error
    print_sentence(f"Record {quarantine_id} is applied.")


def drop(url: str, quarantine_id: int) -> None:
    """Forget a record."""
    if not _run(url, lambda connection: quarantine.drop(connection, quarantine_id)):
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    print_sentence(f"Record {quarantine_id} is dropped; its user's statistics stay incomplete until a rebuild.")


def _run(url: str, work: Callable[[Connection], Coroutine[Any, Any, T]], quarantine_id: int = 0) -> T:
    return asyncio.run(_on_a_projector_session(url, work, quarantine_id))


async def _on_a_projector_session(
    url: str, work: Callable[[Connection], Coroutine[Any, Any, T]], quarantine_id: int
) -> T:
    """Work on a session of the generation that quarantined the record, or of the one that is served."""
    async with connected(url, Role.PROJECTOR) as connection:
        generation = await connection.fetchval(GENERATION_OF, quarantine_id) or await served_generation(connection)
    connection = await open_session(url, generation, large=False)
    try:
        return await work(connection)
    finally:
        await connection.close()
