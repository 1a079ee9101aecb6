"""The `laurels` command line."""

import asyncio
import json
import os
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from all_in_one.embedded_postgres import EmbeddedPostgresError
from all_in_one.main import Stopped, up
from all_in_one.migrations import MigrationError
from cli import log_files, quarantine, rebuild, status, what_if
from cli.console import AsJson, CliError, Yes, confirm, errors, fail, print_json, print_sentence
from cli.demo import DemoSummary, load_demo
from cli.instance import DATABASE_FAILURES, base_url, database_settings
from cli.openapi import whole_document
from cli.progress import progress_bars
from cli.stackexchange.sending import ImportSummary, import_dump
from command_api.republishing import BeyondTheLog
from command_api.republishing import republish as send_back
from shared.runtime.database import Role, connected
from shared.runtime.process import PortTaken, configure_logging, load_settings
from shared.runtime.settings import Transport

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
importing = typer.Typer(help="Bring in real data.", no_args_is_help=True)
INTERRUPTED = 130

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


app.add_typer(importing, name="import")
app.command()(status.status)
app.command()(log_files.export)
app.command()(log_files.restore)


@app.command()
def republish(
    first: Annotated[int, typer.Option("--from", min=1, help="First position of the log to publish again.")] = 1,
    *,
    yes: Yes = False,
) -> None:
    """Have the relay publish the log to Kafka again; projectors skip what they have."""
    settings = database_settings()
    if settings.transport is not Transport.KAFKA:
        fail("There is no topic: LAURELS_TRANSPORT is not kafka.")
    confirm(f"Publish every event from position {first} on to {settings.kafka_topic} again?", yes=yes)
    try:
        asyncio.run(_republish(settings.database_url, first))
    except BeyondTheLog as error:
        fail(str(error))
    print_sentence(f"The relay publishes again from position {first}.")


async def _republish(url: str, first: int) -> None:
    async with connected(url, Role.RELAY) as connection:
        await send_back(connection, first)


app.command()(rebuild.rebuild)
app.command()(rebuild.rollback)
app.command()(rebuild.verify)
app.command("what-if")(what_if.what_if_command)
app.add_typer(quarantine.app, name="quarantine")


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
