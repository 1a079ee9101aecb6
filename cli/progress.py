"""Progress of longer work, shown as bars on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.console import errors


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a longer piece of work: what it is called, and what is counted ("rows", "bytes")."""

    label: str
    unit: str


Report = Callable[[Stage, int, int], None]
"""Receives progress: the stage, how much of it is done, and how much there is in all, 0 if that is not known."""


def silent(_stage: Stage, _done: int, _total: int) -> None:
    """Report nothing."""


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show one bar a stage, with its rate, for as long as the block runs, and yield what receives progress."""
    if not errors.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    tasks: dict[Stage, TaskID] = {}
    with Progress(*columns, console=errors) as bars:

        def report(stage: Stage, done: int, total: int) -> None:
            if stage not in tasks:
                _finish_uncounted(bars)
                tasks[stage] = bars.add_task(stage.label, total=total or None, unit=stage.unit)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report
        _finish_uncounted(bars)


def _finish_uncounted(bars: Progress) -> None:
    for task in bars.tasks:
        if task.total is None:
            bars.update(task.id, total=1, completed=1)


class _Rate(ProgressColumn):
    """How many units go by in a second."""

    def render(self, task: Task) -> Text:
        speed = int(task.finished_speed or task.speed or 0)
        unit = task.fields["unit"]
        rate = decimal(speed) if unit == "bytes" else f"{speed:,} {unit}"
        return Text(f"{rate}/s" if speed else "", style="progress.data.speed", no_wrap=True)
