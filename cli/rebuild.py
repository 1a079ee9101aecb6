"""`laurels rebuild`, `rollback` and `verify`: read models are rebuilt, switched and compared."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli.console import CliError, errors, print_json, print_sentence
from projector import rebuild as work
from projector.rebuild import ENDINGS, Busy, Outcome, Phase, Plan
from projector.verification import Verification, verify
from shared.read_models.generations import served_generation
from shared.runtime.database import connected
from shared.runtime.settings import Settings

WORDS = {
    Phase.LOAD: "Loading",
    Phase.INDEX: "Indexing",
    Phase.VERIFY: "Verifying",
    Phase.CATCH_UP: "Catching up",
    Phase.SWITCH: "Switching",
}
COUNTED = {Phase.LOAD, Phase.CATCH_UP}


def rebuild(settings: Settings, plan: Plan, *, as_json: bool) -> bool:
    """Rebuild and print the outcome; return whether the comparisons found nothing. Raises CliError."""
    with _bar() as report:
        try:
            outcome = asyncio.run(work.rebuild(settings, plan, report))
        except ENDINGS as error:
            raise CliError(str(error)) from error
    if as_json:
        print_json(_outcome_as_json(outcome))
    else:
        _print_outcome(outcome)
    return outcome.live is None or outcome.live.drift == 0


def drop_unfinished(url: str, *, as_json: bool) -> None:
    """Drop what an interrupted rebuild left. Raises CliError."""
    try:
        generation = asyncio.run(work.drop_unfinished(url))
    except Busy as error:
        raise CliError(str(error)) from error
    if as_json:
        print_json({"dropped": generation})
    else:
        print_sentence("No rebuild was interrupted." if generation is None else f"Generation {generation} was dropped.")


def rollback(url: str, *, as_json: bool) -> None:
    """Switch back to the standby generation. Raises CliError."""
    try:
        live, before = asyncio.run(work.rollback(url))
    except ENDINGS as error:
        raise CliError(str(error)) from error
    if as_json:
        print_json({"live": live, "standby": before})
    else:
        print_sentence(f"Reads are served from generation {live} again; generation {before} is on standby.")


def verification(url: str, *, as_json: bool) -> bool:
    """Compare what is served with the log and print the differences; return whether there are none."""
    found = asyncio.run(_verify(url))
    if as_json:
        print_json(_as_json(found))
    else:
        _print_differences(found)
    return found.drift == 0


async def _verify(url: str) -> Verification:
    async with connected(url) as connection:
        generation = await served_generation(connection)
    return await verify(url, generation)


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
        "standby": outcome.standing_by,
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
        back = "`laurels rollback` goes back" if outcome.standing_by else "none is on standby to go back to"
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
def _bar() -> Iterator[Callable[[work.Progress], None]]:
    """Show one bar for each phase; where events are counted, with how many, how fast, and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    tasks: dict[Phase, TaskID] = {}
    with Progress(*columns, console=errors) as bars:

        def report(progress: work.Progress) -> None:
            if progress.resumed and not tasks:
                bars.console.print(f"Going on with generation {progress.generation}, which was interrupted.")
            if progress.dropped and not tasks:
                left = f"Dropped generation {progress.dropped}, which was interrupted"
                bars.console.print(f"{left}: it had other options or another version.", soft_wrap=True)
            phase = progress.phase
            if phase not in tasks:
                for done in tasks.values():
                    bars.update(done, total=1, completed=1)
                tasks[phase] = bars.add_task(WORDS[phase], total=None, counts="")
            if progress.events_per_second and phase in COUNTED:
                told = f"{progress.position:,}/{progress.target:,} events, {progress.events_per_second:,.0f}/s"
                bars.update(tasks[phase], total=progress.target, completed=progress.position, counts=told)

        yield report
        for done in tasks.values():
            bars.update(done, total=1, completed=1)
