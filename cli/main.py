"""The `laurels` command line."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from all_in_one.embedded_postgres import EmbeddedPostgresError
from all_in_one.main import Stopped, up
from all_in_one.migrations import MigrationError
from cli import log_files, quarantine, what_if
from cli import rebuild as rebuilding
from cli.console import AsJson, CliError, Yes, confirm, errors, fail, print_json, print_sentence
from cli.demo import DemoSummary, load_demo
from cli.instance import DATABASE_FAILURES, base_url, database_settings, database_url
from cli.openapi import whole_document
from cli.progress import progress_bars
from cli.stackexchange.sending import ImportSummary, import_dump
from cli.status import show_status
from command_api.republishing import BeyondTheLog
from command_api.republishing import republish as send_back
from projector.rebuild import Plan, rebuildable
from shared.runtime.database import Role, connected
from shared.runtime.process import PortTaken, configure_logging, load_settings
from shared.runtime.settings import Transport

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
importing = typer.Typer(help="Bring in real data.", no_args_is_help=True)
app.add_typer(importing, name="import")
quarantined = typer.Typer(help="Records that could not be applied.", no_args_is_help=True)
app.add_typer(quarantined, name="quarantine")
INTERRUPTED = 130
NOTHING_SERVES = 3


class Carrier(StrEnum):
    """Where a rebuild reads the events."""

    LOG = "log"
    KAFKA = "kafka"


Url = Annotated[str, typer.Option("--url", help="Where Laurels listens; the instance on LAURELS_DATA_DIR by default.")]
Token = Annotated[str, typer.Option("--token", envvar="LAURELS_TOKEN", help="Bearer token, where commands need one.")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        print_sentence(f"laurels {metadata.version('laurels')}")
        raise typer.Exit


@app.callback()
def laurels(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Laurels: achievements and precomputed statistics."""


@app.command("up")
def up_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of LAURELS_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on, instead of LAURELS_PORT; 0 is a free one.")
    ] = None,
) -> None:
    """Serve everything: the APIs, the projector and an embedded PostgreSQL."""
    given = {"LAURELS_HOST": host, "LAURELS_PORT": port}
    # Migrations read the settings too, so an option is the setting of this run.
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    settings = load_settings()
    configure_logging(settings)
    try:
        uvloop.run(up(settings, lambda text: print(text, flush=True)))  # noqa: T201 - this is what it says to its operator
    except (PortTaken, EmbeddedPostgresError, MigrationError, Stopped) as error:
        fail(str(error))


@app.command()
def demo(url: Url = "", token: Token = "", seed: int = 1, *, as_json: AsJson = False) -> None:
    """Fill a running instance with a few hundred users, achievements in two languages and streaks."""
    server = base_url(load_settings(), url)
    with progress_bars() as report:
        summary = load_demo(server, datetime.now(UTC), seed=seed, progress=report, token=token)
    _print_summary(summary, as_json=as_json)


@importing.command("stackexchange")
def stackexchange(
    folder: Annotated[Path, typer.Argument(help="Folder with Badges.xml and perhaps Users.xml.")],
    url: Url = "",
    token: Token = "",
    site: Annotated[str, typer.Option(help="Name that tells this dump from others; the folder's by default.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Import a Stack Exchange dump; it can be stopped and run again, and adds nothing twice."""
    server = base_url(load_settings(), url)
    with progress_bars() as report:
        summary = import_dump(folder, server, site=site or None, progress=report, token=token)
    _print_summary(summary, as_json=as_json)


def _print_summary(summary: DemoSummary | ImportSummary, *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
    else:
        print_sentence(str(summary))


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show positions, lag by partition, and generations; exit with 3 if nothing serves."""
    if not show_status(load_settings(), as_json=as_json):
        sys.exit(NOTHING_SERVES)


@app.command()
def republish(
    first: Annotated[int, typer.Option("--from", min=1, help="First position of the log to publish again.")] = 1,
    *,
    yes: Yes = False,
) -> None:
    """Have the relay publish the log to Kafka again; projectors skip what they have."""
    settings = load_settings()
    url = database_url(settings)
    if settings.transport is not Transport.KAFKA:
        fail("There is no topic: LAURELS_TRANSPORT is not kafka.")
    confirm(f"Publish every event from position {first} on to {settings.kafka_topic} again?", yes=yes)
    try:
        asyncio.run(_republish(url, first))
    except BeyondTheLog as error:
        fail(str(error))
    print_sentence(f"The relay publishes again from position {first}.")


async def _republish(url: str, first: int) -> None:
    async with connected(url, Role.RELAY) as connection:
        await send_back(connection, first)


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
    *,
    yes: Yes = False,
) -> None:
    """Fill an empty instance with an export, positions kept; if anything is wrong, nothing changes."""
    settings = load_settings()
    url = database_url(settings)
    confirm(f"Fill the empty log of this instance with the events of {file}?", yes=yes)
    log_files.restore_log(url, file, settings.language_set)


@app.command()
def rebuild(  # noqa: PLR0913 - each is an option
    *,
    transport: Annotated[
        Carrier, typer.Option(help="Where the events are read: the log itself, or Kafka.")
    ] = Carrier.LOG,
    projection: Annotated[
        str, typer.Option(help=f"Rebuild only this one of {', '.join(rebuildable())}, and copy the others.")
    ] = "",
    keep: Annotated[int, typer.Option(min=0, help="Generations to keep on standby, for a rollback.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build and compare, but do not switch.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Only drop what an interrupted rebuild left.")] = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Rebuild the read models beside the live ones, verify them, and switch to them."""
    settings = database_settings()
    if drop:
        confirm("Drop what an interrupted rebuild left, instead of going on with it?", yes=yes)
        rebuilding.drop_unfinished(settings.database_url, as_json=as_json)
        return
    if keep == 0 and not dry_run:
        confirm("Drop the generation that is served now after the switch, with nothing to roll back to?", yes=yes)
    plan = Plan(transport=transport.value, projection=projection or None, keep=keep, dry_run=dry_run)
    if not rebuilding.rebuild(settings, plan, as_json=as_json):
        sys.exit(1)


@app.command()
def rollback(*, as_json: AsJson = False) -> None:
    """Serve reads from the generation before the last rebuild again."""
    rebuilding.rollback(database_settings().database_url, as_json=as_json)


@app.command()
def verify(*, as_json: AsJson = False) -> None:
    """Compare every row that is served with what the log says; exit with 1 if any differs."""
    if not rebuilding.verification(database_settings().database_url, as_json=as_json):
        sys.exit(1)


@app.command("what-if")
def what_if_command(
    points: Annotated[
        list[str] | None, typer.Option(help="Other points, as 'First run=50' or '#7=50'; may be repeated.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Take every day in this time zone, as Europe/Moscow.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show who would lead and whose rank would change under other rules, without touching what is served."""
    what_if.show(database_settings().database_url, points or [], timezone, as_json=as_json)


@quarantined.command("list")
def quarantine_list(
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after the record with this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Records to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that could not be applied, oldest first; a run of alike ones is one line."""
    quarantine.show_list(database_url(load_settings()), after, limit, as_json=as_json)


@quarantined.command("show")
def quarantine_show(quarantine_id: int, *, as_json: AsJson = False) -> None:
    """Show one record with its bytes and error."""
    quarantine.show(database_url(load_settings()), quarantine_id, as_json=as_json)


@quarantined.command("retry")
def quarantine_retry(quarantine_id: int) -> None:
    """Apply the event from the log, once what was wrong is mended."""
    quarantine.retry(database_url(load_settings()), quarantine_id)


@quarantined.command("drop")
def quarantine_drop(quarantine_id: int, *, yes: Yes = False) -> None:
    """Forget the record."""
    url = database_url(load_settings())
    confirm(f"Forget the quarantined record {quarantine_id} with its bytes and error?", yes=yes)
    quarantine.drop(url, quarantine_id)


@app.command(hidden=True)
def openapi() -> None:
    """Print the OpenAPI document of the whole API."""
    print(json.dumps(whole_document(), indent=1, sort_keys=True))  # noqa: T201 - the command's output


def main() -> None:
    """Run the command line; an error is one sentence, and exit code 1."""
    try:
        app()
    except (CliError, EmbeddedPostgresError) as error:
        fail(str(error))
    except DATABASE_FAILURES as error:
        fail(f"The database cannot be asked: {error}.")
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            errors.print("Stopped. Run it again to go on: nothing is added twice.")
        raise
