"""`laurels what-if`: who would lead, and whose rank would change."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.console import AsJson, CliError, print_json
from cli.instance import database_settings
from projector.generations.plan import Busy, Refused
from projector.generations.what_if import Outlook, Standing, what_if

MOST_POINTS = 1_000_000


def what_if_command(
    points: Annotated[
        list[str] | None, typer.Option(help="Other points, as 'First run=50' or '#7=50'; may be repeated.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Take every day in this time zone, as Europe/Moscow.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show who would lead and whose rank would change under other rules, without touching what is served."""
    url = database_settings().database_url
    changes = dict(map(_change, points or []))
    if not changes and not timezone:
        raise CliError("Say what would be otherwise: --points 'First run=50' or --timezone Europe/Moscow.")
    try:
        outlook = asyncio.run(what_if(url, changes, timezone or None))
    except (Busy, Refused) as error:
        raise CliError(str(error)) from error
    if as_json:
        print_json(outlook)
    else:
        _print(outlook)


def _change(text: str) -> tuple[str, int]:
    name, _, value = text.rpartition("=")
    if not (name.strip() and value.isascii() and value.isdigit() and int(value) <= MOST_POINTS):
        raise CliError(f"--points has to be like 'First run=50', with 0 to {MOST_POINTS} points.")
    return name.strip(), int(value)


def _print(outlook: Outlook) -> None:
    console = Console()
    if outlook.leader is None:
        console.print("Nobody holds an award yet, so nothing would change.")
        return
    now, then = outlook.leader, outlook.leaders[0]
    would = f"[bold]{escape(then.username)}[/bold] would lead with {then.points:,} points"
    instead = f"instead of [bold]{escape(now.username)}[/bold] with {now.points_before:,}"
    console.print(f"{would}." if now.username == then.username else f"{would}, {instead}.")
    console.print(_ranks("The first by points", outlook.leaders))
    console.print(f"{outlook.moved:,} users would change their place.")
    if outlook.movers:
        console.print(_ranks("Those who would move most", outlook.movers))
    console.print(f"{outlook.other_streaks:,} users would have another longest streak.")
    if outlook.other_streaks:
        table = Table("User", "Days now", "Days then", title="The longest streaks")
        for user in outlook.streaks:
            table.add_row(escape(user.username), str(user.streak_before), str(user.streak))
        console.print(table)
    console.print("Nothing that is served has changed.")


def _ranks(title: str, users: Sequence[Standing]) -> Table:
    table = Table("User", "Place now", "Place then", "Points now", "Points then", title=title)
    for user in users:
        numbers = (user.place_before, user.place, user.points_before, user.points)
        table.add_row(escape(user.username), *(f"{number:,}" for number in numbers))
    return table
