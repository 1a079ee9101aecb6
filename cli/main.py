"""The `laurels` command line."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from all_in_one.embedded_postgres import EmbeddedPostgresError, find_running
from all_in_one.instance import running_instance
from all_in_one.main import Stopped, up
from all_in_one.migrations import MigrationError
from cli import log_files, quarantine, what_if
from cli import rebuild as rebuilding
from cli.client import CliError, progress_bars
from cli.demo import load_demo
from cli.openapi import whole_document
from cli.stackexchange import import_dump
from cli.status import Status, read_status
from command_api.republishing import BeyondTheLog
from command_api.republishing import republish as send_back
from projector.rebuild import Plan, rebuildable
from shared.runtime.database import FAILURES, Role, connect
from shared.runtime.process import PortTaken, configure_logging, load_settings
from shared.runtime.settings import Settings, Transport

app = typer.Typer(
    help="Laurels: achievements and precomputed statistics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
importing = typer.Typer(help="Bring in real data.", no_args_is_help=True)
app.add_typer(importing, name="import")
quarantined = typer.Typer(help="Records that could not be applied.", no_args_is_help=True)
app.add_typer(quarantined, name="quarantine")
errors = Console(stderr=True)
INTERRUPTED = 130
NOTHING_SERVES = 3


class Carrier(StrEnum):
    """Where a rebuild reads the events."""

    LOG = "log"
    KAFKA = "kafka"


DATABASE_TROUBLE: tuple[type[Exception], ...] = (LookupError, *FAILURES)

Url = Annotated[str, typer.Option("--url", help="Where Laurels listens; the instance on LAURELS_DATA_DIR by default.")]
Token = Annotated[str, typer.Option("--token", envvar="LAURELS_TOKEN", help="Bearer token, where commands need one.")]


@app.command("up")
def up_command() -> None:
    """Serve everything: the APIs, the projector and an embedded PostgreSQL."""
    settings = load_settings()
    configure_logging(settings)
    try:
        uvloop.run(up(settings, lambda text: print(text, flush=True)))  # noqa: T201 - this is what it says to its operator
    except (PortTaken, EmbeddedPostgresError, MigrationError, Stopped) as error:
        fail(str(error))


@app.command()
def demo(url: Url = "", token: Token = "", seed: int = 1) -> None:
    """Fill a running instance with a few hundred users, achievements in two languages and streaks."""
    server = base_url(load_settings(), url)
    with progress_bars() as progress:
        summary = load_demo(server, datetime.now(UTC), seed=seed, progress=progress, token=token)
    Console().print(escape(str(summary)))


@importing.command("stackexchange")
def stackexchange(
    folder: Annotated[Path, typer.Argument(help="Folder with Badges.xml and perhaps Users.xml.")],
    url: Url = "",
    token: Token = "",
    site: Annotated[str, typer.Option(help="Name that tells this dump from others; the folder's by default.")] = "",
) -> None:
    """Import a Stack Exchange dump; it can be stopped and run again, and adds nothing twice."""
    server = base_url(load_settings(), url)
    with progress_bars() as progress:
        summary = import_dump(folder, server, site=site or None, progress=progress, token=token)
    Console().print(escape(str(summary)))


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show positions, lag by partition, and generations; exit with 3 if nothing serves."""
    settings = load_settings()
    found = _status(settings)
    if as_json:
        print(json.dumps(found.as_dict() if found else {"serving": False}))  # noqa: T201 - the command's output
    elif found:
        _print_status(found)
    if not found or not found.serving:
        errors.print(escape(_nothing_serves(settings, found)), style="red", highlight=False, soft_wrap=True)
        sys.exit(NOTHING_SERVES)


@app.command()
def republish(
    first: Annotated[int, typer.Option("--from", min=1, help="First position of the log to publish again.")] = 1,
) -> None:
    """Have the relay publish the log to Kafka again; projectors skip what they have."""
    settings = load_settings()
    url = database_url(settings)
    if settings.transport is not Transport.KAFKA:
        fail("There is no topic: LAURELS_TRANSPORT is not kafka.")
    try:
        asyncio.run(_republish(url, first))
    except BeyondTheLog as error:
        fail(str(error))
    print(f"The relay publishes again from position {first}.")  # noqa: T201 - the command's output


@app.command("export")
def export_command(
    file: Annotated[Path, typer.Argument(help="Compressed if it ends in .zst or .gz; - is standard output.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write the whole log as CloudEvents, one event a line."""
    log_files.export_log(database_url(load_settings()), file, force=force)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An export; its compression is told by .zst or .gz at its end.")],
) -> None:
    """Fill an empty instance with an export, positions kept; whatever is wrong, nothing changes."""
    settings = load_settings()
    log_files.restore_log(database_url(settings), file, settings.language_set)


async def _republish(url: str, first: int) -> None:
    connection = await connect(url, Role.RELAY)
    try:
        await send_back(connection, first)
    finally:
        await connection.close()


@app.command()
def rebuild(
    *,
    transport: Annotated[
        Carrier, typer.Option(help="Where the events are read: the log itself, or Kafka.")
    ] = Carrier.LOG,
    projection: Annotated[
        str, typer.Option(help=f"Rebuild only this one of {', '.join(rebuildable())}, and copy the others.")
    ] = "",
    keep: Annotated[int, typer.Option(min=0, help="Generations that go on standing by, for a rollback.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build and compare, but do not switch.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Only drop what an interrupted rebuild left.")] = False,
) -> None:
    """Build the read models anew beside the live ones, verify them, and switch to them."""
    settings = database_settings()
    if drop:
        rebuilding.drop_unfinished(settings.database_url)
        return
    plan = Plan(transport=transport.value, projection=projection or None, keep=keep, dry_run=dry_run)
    if not rebuilding.rebuild(settings, plan):
        sys.exit(1)


@app.command()
def rollback() -> None:
    """Serve reads from the generation before the last rebuild again."""
    rebuilding.rollback(database_settings().database_url)


@app.command()
def verify() -> None:
    """Compare every row that is served with what the log says; exit with 1 if any differs."""
    if not rebuilding.verification(database_settings().database_url):
        sys.exit(1)


@app.command("what-if")
def what_if_command(
    points: Annotated[
        list[str] | None, typer.Option(help="Other points, as 'First run=50' or '#7=50'; may be repeated.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Take every day in this time zone, as Europe/Moscow.")] = "",
) -> None:
    """Show who would lead and who would move under other rules, without touching what is served."""
    what_if.show(database_settings().database_url, points or [], timezone)


@quarantined.command("list")
def quarantine_list(
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after the record with this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Records to list.")] = 100,
) -> None:
    """List the records that could not be applied, oldest first; a run of alike ones is one line."""
    quarantine.show_list(database_url(load_settings()), after, limit)


@quarantined.command("show")
def quarantine_show(quarantine_id: int) -> None:
    """Show one record with its bytes and error."""
    quarantine.show(database_url(load_settings()), quarantine_id)


@quarantined.command("retry")
def quarantine_retry(quarantine_id: int) -> None:
    """Apply the event from the log, once what was wrong is mended."""
    quarantine.retry(database_url(load_settings()), quarantine_id)


@quarantined.command("drop")
def quarantine_drop(quarantine_id: int) -> None:
    """Forget the record."""
    quarantine.drop(database_url(load_settings()), quarantine_id)


@app.command(hidden=True)
def openapi() -> None:
    """Print the OpenAPI document of the whole API."""
    print(json.dumps(whole_document(), indent=1, sort_keys=True))  # noqa: T201 - the command's output


def main() -> None:
    """Run the command line; what goes wrong is one sentence, and exit code 1."""
    try:
        app()
    except (CliError, EmbeddedPostgresError) as error:
        fail(str(error))
    except DATABASE_TROUBLE as error:
        fail(f"The database cannot be asked: {error}.")
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            errors.print("Stopped. Run it again to go on: nothing is added twice.")
        raise


def fail(sentence: str) -> NoReturn:
    """Print a sentence to standard error and exit with 1."""
    errors.print(escape(sentence), style="red", highlight=False, soft_wrap=True)
    sys.exit(1)


def base_url(settings: Settings, given: str) -> str:
    """Return where the instance listens that the options and settings name; what only has its port is not taken."""
    if given:
        return given
    if settings.database_url:
        fail("Which server uses the database of LAURELS_DATABASE_URL is not known here: name it with --url.")
    found = running_instance(settings.data_dir)
    if found is None:
        fail(f"{not_running(settings)} To use another, name it with --url, as --url http://localhost:8000.")
    return found.base_url


def database_settings() -> Settings:
    """Return the settings with the database of the instance that they name."""
    settings = load_settings()
    return settings.model_copy(update={"database_url": database_url(settings)})


def database_url(settings: Settings) -> str:
    """Return the database of the instance that the settings name."""
    if settings.database_url:
        return settings.database_url
    url = running_database(settings)
    if url is None:
        fail(not_running(settings))
    return url


def running_database(settings: Settings) -> str | None:
    """Return the embedded database of the data folder, None if it does not run."""
    connection = find_running(settings.data_dir)
    return connection.url if connection else None


def not_running(settings: Settings) -> str:
    """Return the sentence that says so."""
    return f"No Laurels is running on {settings.data_dir.resolve()}. Start one with `make run`."


def _status(settings: Settings) -> Status | None:
    """Return the status; None where the embedded database does not answer."""
    if settings.database_url:
        return asyncio.run(read_status(settings.database_url))
    serving = running_instance(settings.data_dir) is not None
    url = running_database(settings)
    try:
        # The embedded database of a process that was killed, or that only starts, answers and serves nobody.
        return replace(asyncio.run(read_status(url)), serving=serving) if url else None
    except DATABASE_TROUBLE:
        if serving:
            raise
        return None


def _nothing_serves(settings: Settings, found: Status | None) -> str:
    if settings.database_url:
        return "Nothing serves: no API is connected to the database of LAURELS_DATABASE_URL."
    if found is None:
        return f"Nothing serves. {not_running(settings)}"
    where = settings.data_dir.resolve()
    return f"Nothing serves: PostgreSQL answers on {where}, but no Laurels. It is still starting, or was killed."


def _print_status(found: Status) -> None:
    console = Console()
    console.print(f"Serving        {'yes' if found.serving else 'no'}")
    console.print(f"Log position   {found.log_position}")
    console.print(f"Read position  {found.read_position} (lag {found.lag})")
    console.print(f"Generation     {found.generation}")
    for other in found.other_generations:
        state = "Standing by" if other.state == "standby" else "Unfinished"
        console.print(f"{state:<14} {other.generation} (lag {other.lag})")
    if found.published_position is not None or found.relay_trouble:
        trouble = f" ({found.relay_trouble})" if found.relay_trouble else ""
        console.print(f"Published      {found.published_position or 0}{escape(trouble)}", soft_wrap=True)
    table = Table("Partition", "Log", "Projected", "Lag", "Trouble")
    for part in found.partitions:
        cells = (part.partition, part.log_position, part.position, part.lag, part.trouble or "")
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)
