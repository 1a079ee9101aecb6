"""`laurels quarantine`: what could not be applied, and what to do about it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import CliError
from projector import quarantine
from projector.runner import open_session
from shared.read_models import served_generation
from shared.runtime.database import Connection, Role, connect

T = TypeVar("T")

GENERATION_OF = "SELECT generation FROM quarantine JOIN generations USING (generation) WHERE quarantine_id = $1"


class QuarantineError(CliError):
    """The message is one sentence for the operator."""


def show_list(url: str) -> None:
    """Print every record that was put aside."""
    table = Table("Id", "Partition", "Position", "User", "When", "Missing", "Error")
    for row in _run(url, quarantine.listed):
        when = f"{row['quarantined_at']:%Y-%m-%d %H:%M:%S}"
        missing = "no" if row["applied"] else "yes"
        cells = (row["quarantine_id"], row["partition"], row["position"], row["user_id"], when, missing, row["error"])
        table.add_row(*(escape(str(cell)) if cell is not None else "" for cell in cells))
    Console().print(table if table.row_count else "Nothing is in quarantine.")


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
