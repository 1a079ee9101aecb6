"""`laurels rebuild`, `rollback` and `verify`: the read models, built anew, switched and compared."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli.client import CliError
from projector import rebuild as work
from projector.rebuild import ENDINGS, Busy, Outcome, Phase, Plan
from projector.verification import Verification, verify
from shared.read_models.generations import served_generation
from shared.runtime.database import connect
from shared.runtime.settings import Settings

WORDS = {
    Phase.LOAD: "Loading",
    Phase.INDEX: "Indexing",
    Phase.VERIFY: "Verifying",
    Phase.CATCH_UP: "Catching up",
    Phase.SWITCH: "Switching",
}
COUNTED = {Phase.LOAD, Phase.CATCH_UP}


def rebuild(settings: Settings, plan: Plan) -> bool:
    """Rebuild, and tell about it; return whether the comparisons found nothing."""
    with _bar() as report:
        try:
            outcome = asyncio.run(work.rebuild(settings, plan, report))
        except ENDINGS as error:
            raise CliError(str(error)) from error
    return _tell(outcome)


def drop_unfinished(url: str) -> None:
    """Drop what an interrupted rebuild left."""
    try:
        generation = asyncio.run(work.drop_unfinished(url))
    except Busy as error:
        raise CliError(str(error)) from error
    text = "No rebuild was interrupted." if generation is None else f"Generation {generation} was dropped."
    Console().print(text)


def rollback(url: str) -> None:
    """Go back to the generation that stands by."""
    try:
        live, before = asyncio.run(work.rollback(url))
    except ENDINGS as error:
        raise CliError(str(error)) from error
    Console().print(f"Reads are served from generation {live} again; generation {before} stands by.")


def verification(url: str) -> bool:
    """Compare what is served with the log, and tell about it; return whether nothing differs."""
    found = asyncio.run(_verify(url))
    _tell_differences(found)
    return found.drift == 0


async def _verify(url: str) -> Verification:
    connection = await connect(url)
    try:
        generation = await served_generation(connection)
    finally:
        await connection.close()
    return await verify(url, generation)


def _tell(outcome: Outcome) -> bool:
    console = Console()
    built = sum(outcome.seconds.get(phase, 0.0) for phase in (Phase.LOAD, Phase.INDEX))
    if outcome.events:
        rate = f"{outcome.events / built:,.0f} events/s, indexes included"
        console.print(f"Generation {outcome.generation}: {outcome.events:,} events in {built:.1f} s ({rate}).")
    for found in (outcome.verification, outcome.live):
        if found is not None:
            _tell_differences(found)
    if outcome.switched:
        back = "`laurels rollback` goes back" if outcome.standing_by else "none stands by to go back to"
        console.print(f"Reads are served from generation {outcome.generation}; {back}.")
    else:
        console.print("It was a dry run: the generation was dropped, and reads are served as before.")
    return outcome.live is None or outcome.live.drift == 0


def _tell_differences(found: Verification) -> None:
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
    with Progress(*columns) as bars:

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
