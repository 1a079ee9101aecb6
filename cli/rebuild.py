"""`laurels rebuild`, `rollback` and `verify`: read models are rebuilt, switched and compared."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli.console import AsJson, CliError, Yes, confirm, errors, print_json, print_sentence
from cli.instance import database_settings
from cli.progress import Stage, progress_bars
from projector.generations import rebuild as work
from projector.generations import verification
from projector.generations.plan import Outcome, Phase, Plan, Progress
from projector.generations.rebuild import ENDINGS
from projector.generations.verification import Verification
from shared.read_models.generations import served_generation
from shared.runtime.database import connected

WORDS = {
    Phase.LOAD: "Loading",
    Phase.INDEX: "Indexing",
    Phase.VERIFY: "Verifying",
    Phase.CATCH_UP: "Catching up",
    Phase.SWITCH: "Switching",
}
COUNTED = {Phase.LOAD, Phase.CATCH_UP}


class Carrier(StrEnum):
    """Where a rebuild reads the events."""

    LOG = "log"
    KAFKA = "kafka"


def rebuild(  # noqa: PLR0913 - each is an option
    *,
    transport: Annotated[
        Carrier, typer.Option(help="Where the events are read: the log itself, or Kafka.")
    ] = Carrier.LOG,
    projection: Annotated[
        str, typer.Option(help=f"Rebuild only this one of {', '.join(work.rebuildable())}, and copy the others.")
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
        _drop_unfinished(settings.database_url, as_json=as_json)
        return
    if keep == 0 and not dry_run:
        confirm("Drop the generation that is served now after the switch, with nothing to roll back to?", yes=yes)
    plan = Plan(transport=transport.value, projection=projection or None, keep=keep, dry_run=dry_run)
    with _sentences(), _progress() as report:
        outcome = asyncio.run(work.rebuild(settings, plan, report))
    if as_json:
        print_json(_outcome_as_json(outcome))
    else:
        _print_outcome(outcome)
    _exit_if_different(outcome.live)


def _drop_unfinished(url: str, *, as_json: bool) -> None:
    with _sentences():
        generation = asyncio.run(work.drop_unfinished(url))
    if as_json:
        print_json({"dropped": generation})
    else:
        print_sentence("No rebuild was interrupted." if generation is None else f"Generation {generation} was dropped.")


def rollback(*, as_json: AsJson = False) -> None:
    """Serve reads from the generation before the last rebuild again."""
    with _sentences():
        live, before = asyncio.run(work.rollback(database_settings().database_url))
    if as_json:
        print_json({"live": live, "standby": before})
    else:
        print_sentence(f"Reads are served from generation {live} again; generation {before} is on standby.")


def verify(*, as_json: AsJson = False) -> None:
    """Compare every row that is served with what the log says; exit with 1 if any differs."""
    found = asyncio.run(_verify(database_settings().database_url))
    if as_json:
        print_json(_as_json(found))
    else:
        _print_differences(found)
    _exit_if_different(found)


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except ENDINGS as error:
        raise CliError(str(error)) from error


def _exit_if_different(found: Verification | None) -> None:
    if found is not None and found.drift:
        sys.exit(1)


async def _verify(url: str) -> Verification:
    async with connected(url) as connection:
        generation = await served_generation(connection)
    return await verification.verify(url, generation)


def _as_json(found: Verification | None) -> Mapping[str, object] | None:
    return None if found is None else {**asdict(found), "drift": found.drift}


def _outcome_as_json(outcome: Outcome) -> Mapping[str, object]:
    return {
        "generation": outcome.generation,
        "events": outcome.events,
        "seconds": outcome.seconds,
        "verification": _as_json(outcome.verification),
        "live": _as_json(outcome.live),
        "switched": outcome.switched,
        "standby": outcome.standby,
    }


def _print_outcome(outcome: Outcome) -> None:
    console = Console()
    built = sum(outcome.seconds.get(phase, 0.0) for phase in (Phase.LOAD, Phase.INDEX))
    if outcome.events:
        rate = f"{outcome.events / built:,.0f} events/s, indexes included"
        console.print(f"Generation {outcome.generation}: {outcome.events:,} events in {built:.1f} s ({rate}).")
    for found in (outcome.verification, outcome.live):
        if found is not None:
            _print_differences(found)
    if outcome.switched:
        back = "`laurels rollback` goes back" if outcome.standby else "none is on standby to go back to"
        console.print(f"Reads are served from generation {outcome.generation}; {back}.")
    else:
        console.print("It was a dry run: the generation was dropped, and reads are served as before.")


def _print_differences(found: Verification) -> None:
    console = Console()
    rows = sum(check.rows for check in found.tables)
    what = f"generation {found.generation} at position {found.position}"
    if not found.drift:
        console.print(
            f"Verified {what}: {rows:,} rows in {len(found.tables)} tables are what the log says.", soft_wrap=True
        )
        return
    console.print(f"[red]{found.drift:,} rows of {what} are not what the log says:[/red]")
    for check in found.tables:
        if check.differing:
            console.print(f"  {check.table}: {check.differing:,} differ, the first of them:")
            for example in check.examples:
                console.print(f"    {escape(example)}", highlight=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show one bar for each phase, a line where there is no terminal, and what became of an interrupted rebuild."""
    begun: set[int | Phase] = set()
    with progress_bars() as report:

        def show(progress: Progress) -> None:
            if progress.generation not in begun:
                begun.add(progress.generation)
                _print_interrupted(progress)
            if progress.phase not in begun and not errors.is_terminal:
                begun.add(progress.phase)
                errors.print(WORDS[progress.phase])
            target = progress.target if progress.phase in COUNTED else 0
            report(Stage(WORDS[progress.phase], "events"), progress.position, target)

        yield show


def _print_interrupted(progress: Progress) -> None:
    if progress.resumed:
        errors.print(f"Going on with generation {progress.generation}, which was interrupted.", soft_wrap=True)
    if progress.dropped:
        left = f"Dropped generation {progress.dropped}, which was interrupted"
        errors.print(f"{left}: it had other options or another version.", soft_wrap=True)
