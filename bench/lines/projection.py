"""Projectors with a backlog, and the rebuild, each beside the same SQL run by hand."""

import asyncio
import secrets
import time
from collections.abc import Mapping

from bench import bare, data
from bench.measures import Findings, Measure, at_least
from bench.workbench import Workbench, run
from projector.feeds.postgres import BATCH_LIMIT
from shared.runtime.database import OwnConnection
from tests.support.processes import Service, free_port, start

BACKLOG_TOPIC = "backlog"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 600.0
AT_THE_GATE = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE progress%'"
HEAD = "SELECT position FROM log_head"
PROJECTED = "SELECT read_position(1)"
PUBLISHED = "SELECT position FROM write_model.relay_lease"


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
    """Measure a projector that reads a topic, and how fast the relay filled it."""
    ours: list[float] = []
    theirs: list[float] = []
    with bench.postgres(bench.plan.backlog) as url:
        head = run(_ask(url, HEAD))
        published = run(_publish(bench, url))
        for _ in range(bench.plan.rounds):
            ours.append(run(project(bench, url, _topic(bench), 1)))
            theirs.append(run(bare.fold_in_batches(url, head, BATCH_LIMIT)))
    relay = Measure(work=f"relay, {head:,} events to Kafka", what="published", unit="events/s", ours=[published])
    return Findings([_projector("projector, Kafka feed", head, ours, theirs, 0.6), relay])


def two_projectors(bench: Workbench) -> Findings:
    """Measure two projectors that share a topic beside one that has it to itself."""
    ours: list[float] = []
    theirs: list[float] = []
    with bench.postgres(bench.plan.backlog) as url:
        head = run(_ask(url, HEAD))
        run(_publish(bench, url))
        for _ in range(bench.plan.rounds):
            ours.append(run(project(bench, url, _topic(bench), 2)))
            theirs.append(run(project(bench, url, _topic(bench), 1)))
    measure = Measure(
        work=f"two projectors, 8 partitions, {head:,} events",
        what="projected",
        unit="events/s",
        ours=ours,
        reference="one projector",
        theirs=theirs,
        target=at_least(1.3),
    )
    return Findings([measure])


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


def _topic(bench: Workbench) -> dict[str, str]:
    """Return the settings of a new consumer group on the backlog's topic."""
    return {**bench.kafka_settings(BACKLOG_TOPIC), "LAURELS_KAFKA_GROUP": f"bench-{secrets.token_hex(4)}"}


async def _ask(url: str, question: str) -> int:
    connection = await bare.connect(url)
    try:
        return int(await connection.fetchval(question))
    finally:
        await connection.close()


async def _publish(bench: Workbench, url: str) -> float:
    """Have the relay publish what it has not yet; return its events a second."""
    connection = await bare.connect(url)
    head: int = await connection.fetchval(HEAD)
    before: int = await connection.fetchval(PUBLISHED)
    relay = _start(bench, "command_api.relay", url, bench.kafka_settings(BACKLOG_TOPIC))
    try:
        await _reached(connection, PUBLISHED, min(before + 1, head))
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
