"""Projectors with a backlog, and the rebuild, each beside the same SQL run by hand."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from statistics import median

from bench import bare, data
from bench.measures import Curve, Findings, Measure, at_least
from bench.workbench import Workbench, run
from projector.feeds.event_store import BATCH_LIMIT
from projector.generations import rebuild as rebuilding
from projector.generations.plan import Phase, Plan, Progress
from shared.runtime.database import OwnConnection
from shared.runtime.settings import Settings
from tests.support.processes import Service, free_port, start

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 600.0
AT_THE_GATE = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE progress%'"
HEAD = "SELECT position FROM log_head"
PROJECTED = "SELECT read_position(1)"
PUBLISHED = "SELECT position FROM write_model.relay_lease"
UNPUBLISH = """
UPDATE write_model.relay_lease
SET position = 0, partition_positions = array_fill(0::bigint, ARRAY[cardinality(partition_positions)])
"""


def postgres_feed(bench: Workbench) -> Findings:
    """Measure a projector that reads the log itself."""
    ours: list[float] = []
    theirs: list[float] = []
    with bench.postgres(bench.plan.backlog) as url:
        head = run(_ask(url, HEAD))
        for _ in range(bench.plan.rounds):
            ours.append(run(project(bench, url, {}, 1)))
            theirs.append(run(bare.fold_in_batches(url, head, BATCH_LIMIT)))
    return Findings([_projector("projector, postgres feed", head, ours, theirs, 0.85)])


def kafka_feed(bench: Workbench) -> Findings:
    """Measure one projector that reads a topic, two that share it, and how fast the relay filled it."""
    one: list[float] = []
    two: list[float] = []
    theirs: list[float] = []
    with bench.postgres(bench.plan.backlog) as url:
        head = run(_ask(url, HEAD))
        settings = bench.kafka_settings(f"backlog-{secrets.token_hex(4)}")
        published = run(_publish(bench, url, settings))
        for _ in range(bench.plan.rounds):
            one.append(run(project(bench, url, _new_group(settings), 1)))
            two.append(run(project(bench, url, _new_group(settings), 2)))
            theirs.append(run(bare.fold_in_batches(url, head, BATCH_LIMIT)))
    return Findings(
        [
            _projector("projector, Kafka feed", head, one, theirs, 0.6),
            Measure(
                work=f"two projectors, 8 partitions, backlog of {head:,} events",
                what="projected",
                unit="events/s",
                ours=two,
                reference="one projector",
                theirs=one,
                target=at_least(1.3),
            ),
            Measure(work=f"relay, {head:,} events to Kafka", what="published", unit="events/s", ours=[published]),
        ]
    )


def rebuild(bench: Workbench) -> Findings:
    """Measure rebuilds of a small and a great log, beside the same rows loaded by hand."""
    small: tuple[list[float], list[float]] = ([], [])
    great: tuple[list[float], list[float]] = ([], [])
    heads: list[int] = []
    for users, (ours, theirs) in zip(bench.plan.rebuilds, (small, great), strict=True):
        with bench.postgres(users) as url:
            heads.append(run(_ask(url, HEAD)))
            for _ in range(bench.plan.rounds):
                ours.append(bench.call(rebuild_once, url).result())
                theirs.append(run(bare.fold_in_bulk(url, heads[-1])))
    measures = [
        Measure(
            work=f"rebuild of {head:,} events, indexes included",
            what="loaded",
            unit="events/s",
            ours=ours,
            reference="bare bulk SQL with its indexes",
            theirs=theirs,
            target=at_least(0.85),
        )
        for head, (ours, theirs) in zip(heads, (small, great), strict=True)
    ]
    growth = Measure(
        work=f"rebuild of {heads[1]:,} events, indexes included",
        what="loaded, beside the small log",
        unit="events/s",
        ours=great[0],
        reference=f"rebuild of {heads[0]:,} events",
        theirs=small[0],
        target=at_least(0.9),
    )
    rates = {"laurels rebuild": [m.figure for m in measures], "bare bulk SQL": [median(m.theirs) for m in measures]}
    curve = Curve(name="rebuild-rate", x="events", y="events/s", sizes=heads, series=rates)
    return Findings([*measures, growth], [curve])


def rebuild_once(url: str) -> float:
    """Build the read models anew without switching to them; return events a second of load and indexes."""
    outcome = run(rebuilding.rebuild(Settings(database_url=url), Plan(dry_run=True), _say_nothing))
    return outcome.events / (outcome.seconds[Phase.LOAD] + outcome.seconds[Phase.INDEX])


def _say_nothing(_progress: Progress) -> None:
    """Leave progress bars to operators."""


def _projector(work: str, head: int, ours: list[float], theirs: list[float], bound: float) -> Measure:
    return Measure(
        work=f"{work}, backlog of {head:,} events",
        what="projected",
        unit="events/s",
        ours=ours,
        reference="bare projection SQL",
        theirs=theirs,
        target=at_least(bound),
    )


def _new_group(settings: Mapping[str, str]) -> dict[str, str]:
    return {**settings, "LAURELS_KAFKA_GROUP": f"bench-{secrets.token_hex(4)}"}


async def _ask(url: str, question: str) -> int:
    connection = await bare.connect(url)
    try:
        return int(await connection.fetchval(question))
    finally:
        await connection.close()


async def _publish(bench: Workbench, url: str, settings: Mapping[str, str]) -> float:
    """Have the relay publish the whole log to a new topic; return its events a second, from its first batch on."""
    connection = await bare.connect(url)
    await connection.execute(UNPUBLISH)
    head: int = await connection.fetchval(HEAD)
    relay = _start(bench, "command_api.relay", url, settings)
    try:
        await _reached(connection, PUBLISHED, 1)
        begun: int = await connection.fetchval(PUBLISHED)
        started = time.perf_counter()
        await _reached(connection, PUBLISHED, head)
        return (head - begun) / (time.perf_counter() - started)
    finally:
        relay.stop()
        await connection.close()


async def project(bench: Workbench, url: str, settings: Mapping[str, str], projectors: int) -> float:
    """Project the whole log anew by so many processes; return events a second, from when all of them are ready."""
    owner, gate = await bare.connect(url), await bare.connect(url)
    services: list[Service] = []
    try:
        head: int = await owner.fetchval(HEAD)
        await data.forget_read_models(owner)
        await owner.execute("CHECKPOINT")
        async with gate.transaction():
            # Whoever takes partitions over waits for these rows, so that all projectors begin at the same moment.
            await gate.execute("SELECT FROM progress FOR UPDATE")
            services += [_start(bench, "projector", url, settings) for _ in range(projectors)]
            await _reached(owner, AT_THE_GATE, projectors)
        started = time.perf_counter()
        await _reached(owner, PROJECTED, head)
        return head / (time.perf_counter() - started)
    finally:
        for service in services:
            service.stop()
        await owner.close()
        gate.terminate()


def _start(bench: Workbench, module: str, url: str, settings: Mapping[str, str]) -> Service:
    environment = {"LAURELS_DATABASE_URL": url, **settings}
    return start(module, ["python", "-m", module], environment=environment, folder=bench.folder, port=free_port())


async def _reached(connection: OwnConnection, question: str, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.fetchval(question) < wanted:  # noqa: ASYNC110 - another process's progress
            await asyncio.sleep(POLL_SECONDS)
