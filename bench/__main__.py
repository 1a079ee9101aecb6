"""`python -m bench` measures all lines, `python -m bench hot bulk` these ones."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.lines import commands, growth, latency, peers, projection, reads
from bench.measures import Findings
from bench.plan import DEFAULT_SCALE, Plan
from bench.plots import plot
from bench.report import markdown, print_table, write_result
from bench.workbench import Workbench

LINES: Mapping[str, Callable[[Workbench], Findings]] = {
    "hot": reads.hot,
    "lookups": reads.lookups,
    "size": growth.size,
    "singles": commands.singles,
    "waiting": commands.waiting,
    "bulk": commands.bulk,
    "visible": latency.embedded,
    "visible-kafka": latency.scaled_out,
    "projector": projection.postgres_feed,
    "kafka": projection.kafka_feed,
    "rebuild": projection.rebuild,
    "memory": growth.memory,
    "servers": reads.servers,
    "flask": peers.flask,
    "eventsourcing": peers.library,
}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("lines", nargs="*", choices=[*LINES, []], metavar="LINE", help=f"any of: {', '.join(LINES)}")
    parser.add_argument(
        "--scale", type=float, default=DEFAULT_SCALE, help="1 for the sizes of the table (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and plots")
    given = parser.parse_args()
    sys.exit(0 if measure(given.lines or list(LINES), Plan(given.scale), given.results) else 1)


def measure(names: Sequence[str], plan: Plan, results: Path) -> bool:
    """Measure these lines one after another; return whether all could be.

    What a line finds is written before the next begins, and one that fails leaves the others alone.
    """
    found: dict[str, Findings] = {}
    results.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="laurels-bench-", ignore_cleanup_errors=True) as folder,
        Workbench(Path(folder), plan) as bench,
    ):
        for name in names:
            started = time.monotonic()
            try:
                found[name] = LINES[name](bench)
            except Exception:  # noqa: BLE001 - whatever it is, the other lines can be measured
                traceback.print_exc()
                continue
            seconds = time.monotonic() - started
            write_result(results, name, found[name], plan, seconds)
            for curve in found[name].curves:
                plot(results, curve)
            print(f"{name}: {seconds:.0f} s", flush=True)
    (results / "table.md").write_text(markdown(results, LINES))
    print_table(found)
    return len(found) == len(names)


if __name__ == "__main__":
    main()
