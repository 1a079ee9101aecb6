"""What the bench says: a table on the screen, and a file for every line."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measures import Findings, Measure
from bench.plan import Plan

HEADINGS: tuple[str, ...] = ("work", "measure", "figure", "floor or ceiling", "its figure", "ratio", "target", "met")


def row(measure: Measure) -> tuple[str, ...]:
    """Return a row of the table."""
    ratio = "" if measure.ratio is None else f"{measure.ratio:.2f}"
    theirs = "" if measure.reference_figure is None else _amount(measure.reference_figure, measure.unit)
    met = {True: "yes", False: "no", None: ""}[measure.met]
    target = str(measure.target or "")
    if measure.ratio is None and target:
        target += f" {measure.unit}"
    figure = _amount(measure.figure, measure.unit)
    return measure.work, measure.what, figure, measure.reference, theirs, ratio, target, met


def _amount(figure: float, unit: str) -> str:
    return f"{figure:,.0f} {unit}" if figure >= 100 else f"{figure:.3g} {unit}"  # noqa: PLR2004 - three digits


def print_table(found: Mapping[str, Findings]) -> None:
    """Print all rows."""
    table = Table(*HEADINGS)
    for findings in found.values():
        for measure in findings.measures:
            table.add_row(*row(measure))
    Console(width=200).print(table)


def markdown(folder: Path, names: Iterable[str]) -> str:
    """Return, as Markdown, the table of what these lines found last; those that never ran are left out."""
    written = [path for name in names if (path := folder / f"{name}.json").exists()]
    measures = [Measure.from_dict(found) for path in written for found in json.loads(path.read_text())["measures"]]
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(row, measures)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write_result(folder: Path, line: str, findings: Findings, plan: Plan, seconds: float) -> Path:
    """Write what a line found, with date, commit and raw samples; return the file."""
    path = folder / f"{line}.json"
    document = {
        "line": line,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "scale": plan.scale,
        "seconds": round(seconds, 1),
        "measures": [measure.as_dict() for measure in findings.measures],
        "curves": [
            {"name": curve.name, "x": curve.x, "sizes": list(curve.sizes), "y": curve.y, "series": dict(curve.series)}
            for curve in findings.curves
        ],
        "notes": findings.notes,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=list) + "\n")
    return path


def _commit() -> str:
    """Return the commit that is measured, with a plus sign when something was changed since."""
    try:
        command = ["git", "describe", "--always", "--dirty=+"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
