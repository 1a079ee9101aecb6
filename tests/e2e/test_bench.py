"""The bench, run as `make bench` runs it, so small that it takes seconds: it says nothing here but that it works."""

import asyncio
import json
from pathlib import Path

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from bench import bare, data
from projector.generations.lifecycle import metadata
from projector.log_batch import LogBatch
from projector.runner import Runner
from shared.event_store.log import partition_count
from shared.runtime.database import OwnConnection
from tests.support.processes import run

USERS = 300
LIVE, BULK = 1, 2


async def rows(connection: OwnConnection, generation: int, table: str) -> list[str]:
    return sorted(str(row) for row in await connection.fetch(f"TABLE generation_{generation}.{table}"))


def test_a_line_measures_both_sides_and_writes_them_down(tmp_path: Path) -> None:
    """A line ends with a file that has its samples, those of its floor, their ratio, date and commit."""
    command = ["python", "-m", "bench", "lookups", "--scale", "0.002", "--results", str(tmp_path)]

    done = run(command, environment={}, seconds=120)

    assert 0 == done.returncode, f"{done.stdout}\n{done.stderr}"
    written = json.loads((tmp_path / "lookups.json").read_text())
    assert "lookups" == written["line"]
    assert written["date"]
    assert written["commit"]
    for measured in written["measures"]:
        assert len(measured["samples"]) == len(measured["reference_samples"]) == 1
        assert measured["ratio"] > 0
        assert measured["measure"] in done.stdout.replace("\n", " ")


async def test_the_floor_of_a_rebuild_does_the_same_work(tmp_path: Path) -> None:
    """The SQL by hand that a rebuild is compared with gives the very rows that the projector gives."""
    server = EmbeddedPostgres(tmp_path / "data")
    url = (await server.start()).url
    try:
        await asyncio.to_thread(migrate, url)
        head = await data.fill_log(url, USERS)
        runner = await Runner.open(url, LIVE)
        connection = await bare.connect(url)
        partitions = await partition_count(connection)
        held, _ = await runner.take_over(range(partitions))
        await runner.project(LogBatch(0, head, held, partitions))
        runner.close()
        await bare.load_generation(connection, BULK)
        for table in metadata(LIVE).sorted_tables:
            assert await rows(connection, LIVE, table.name) == await rows(connection, BULK, table.name)
        await connection.close()
    finally:
        await server.stop()
