"""`laurels quarantine`: records that could not be applied, retried or dropped by an operator."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.console import AsJson, CliError, Yes, confirm, print_json, print_sentence
from cli.instance import database_settings
from projector import quarantine
from projector.runner import open_session
from shared.read_models.generations import served_generation
from shared.runtime.database import Connection, Record, Role, connected

T = TypeVar("T")

GENERATION_OF = "SELECT generation FROM quarantine JOIN generations USING (generation) WHERE quarantine_id = $1"

app = typer.Typer(help="Records that could not be applied.", no_args_is_help=True)


class QuarantineError(CliError):
    """The message is one sentence for the operator."""


@app.command("list")
def show_list(
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after the record with this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Records to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that could not be applied, oldest first; a run of alike ones is one line."""
    rows = _run(lambda connection: quarantine.listed(connection, after, limit + 1))
    following = rows[limit - 1]["quarantine_id"] if rows[limit:] else None
    if as_json:
        print_json({"records": [dict(row) for row in rows[:limit]], "next_after": following})
        return
    table = Table("Id", "Partition", "Position", "Offsets", "Records", "User", "When", "Missing", "Error")
    for row in rows[:limit]:
        table.add_row(*(escape(str(cell)) if cell is not None else "" for cell in _cells(row)))
    Console().print(table if table.row_count else "Nothing is in quarantine." if after == 0 else "There are no more.")
    if following:
        print_sentence(f"There are more: laurels quarantine list --after {following}")


def _cells(row: Record) -> Sequence[object]:
    first, last = row["kafka_offset"], row["last_offset"]
    offsets, records = (
        (None, 1) if first is None else (f"{first} to {last}" if last > first else first, last - first + 1)
    )
    when = f"{row['quarantined_at']:%Y-%m-%d %H:%M:%S}"
    source = row["quarantine_id"], row["partition"], row["position"], offsets, records
    return *source, row["user_id"], when, "no" if row["applied"] else "yes", row["error"]


@app.command()
def show(quarantine_id: int, *, as_json: AsJson = False) -> None:
    """Show one record with its bytes and error."""
    row = _run(lambda connection: quarantine.shown(connection, quarantine_id))
    if row is None:
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    if as_json:
        print_json(dict(row))
        return
    for name, value in row.items():
        text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
        print_sentence(f"{name}: {text}")


@app.command()
def retry(quarantine_id: int) -> None:
    """Apply the event from the log, once what was wrong is mended."""
    try:
        _run(lambda connection: quarantine.retry(connection, quarantine_id), quarantine_id)
    except quarantine.NothingToRetry as error:
        raise QuarantineError(str(error)) from error
    except asyncpg.PostgresError as error:
        raise QuarantineError(f"It still cannot be applied: {error}.") from error
    print_sentence(f"Record {quarantine_id} is applied.")


@app.command()
def drop(quarantine_id: int, *, yes: Yes = False) -> None:
    """Forget the record."""
    confirm(f"Forget the quarantined record {quarantine_id} with its bytes and error?", yes=yes)
    if not _run(lambda connection: quarantine.drop(connection, quarantine_id)):
        raise QuarantineError(f"There is no quarantined record {quarantine_id}.")
    print_sentence(f"Record {quarantine_id} is dropped; its user's statistics stay incomplete until a rebuild.")


def _run(work: Callable[[Connection], Coroutine[Any, Any, T]], quarantine_id: int = 0) -> T:
    return asyncio.run(_on_a_projector_session(database_settings().database_url, work, quarantine_id))


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
