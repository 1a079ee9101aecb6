"""From a command's acknowledgement to the read that shows it, in both deployments."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench import bare, broker, visibility
from bench.client import Outcome
from bench.lines.commands import ASYNCHRONOUS, award_requests
from bench.measures import Findings, Measure, at_most, milliseconds
from bench.visibility import Watch
from bench.workbench import Workbench, run, settle
from tests.support.processes import Service, free_port, start

COMMANDS_A_SECOND = 500
CONNECTIONS = 64
TOPIC = "latency"
PUBLISHED = """
UPDATE write_model.relay_lease r SET position = h.position, partition_positions = h.partition_positions FROM log_head h
"""
SERVICES: Mapping[str, str] = {
    "command_api": "command_api",
    "relay": "command_api.relay",
    "projector": "projector",
    "query_api": "query_api",
}


def embedded(bench: Workbench) -> Findings:
    """Measure `laurels up`."""
    found: list[Outcome] = []
    with bench.laurels(bench.plan.users) as laurels:
        for _ in range(bench.plan.rounds):
            found.append(bench.call(visibility.run, _watch(bench, laurels.port, laurels.port)).result())
            settle(laurels.database_url)
    return Findings(
        [
            Measure(
                work=f"acknowledged → visible, {COMMANDS_A_SECOND} commands/s, embedded",
                what=f"p{share * 100:.0f}",
                unit="ms",
                ours=[milliseconds(outcome.latencies, share) for outcome in found],
                target=at_most(bound),
            )
            for share, bound in ((0.5, 10), (0.99, 50))
        ]
    )


def scaled_out(bench: Workbench) -> Findings:
    """Measure the services apart, with Kafka between them, beside what the broker takes by itself."""
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    with bench.postgres(bench.plan.users) as url, _services(bench, url) as services:
        watch = _watch(bench, services["command_api"].port, services["query_api"].port)
        for _ in range(bench.plan.rounds):
            ours.append(bench.call(visibility.run, watch).result())
            settle(url)
            topic, rate, seconds = f"floor-{secrets.token_hex(4)}", COMMANDS_A_SECOND, bench.plan.seconds
            theirs.append(bench.call(broker.run, bench.broker, topic, rate, seconds).result())
    return Findings([_on_kafka(ours, theirs, share, bound) for share, bound in ((0.5, 30.0), (0.99, 100.0))])


def _on_kafka(ours: list[Outcome], theirs: list[Outcome], share: float, bound: float) -> Measure:
    """Return the row of a percentile, held to so many ms or to three times the broker's own, whichever is more."""
    own = [milliseconds(outcome.latencies, share) for outcome in theirs]
    return Measure(
        work=f"acknowledged → visible, {COMMANDS_A_SECOND} commands/s, on Kafka",
        what=f"p{share * 100:.0f} (at most {bound:g} ms or 3 times the broker's)",
        unit="ms",
        ours=[milliseconds(outcome.latencies, share) for outcome in ours],
        reference="broker, produce → consume",
        theirs=own,
        target=at_most(max(3.0, bound / min(own))),
    )


def _watch(bench: Workbench, commands: int, reads: int) -> Watch:
    return Watch(
        commands=commands,
        reads=reads,
        requests=award_requests(bench.plan.users, ASYNCHRONOUS),
        connections=CONNECTIONS,
        rate=COMMANDS_A_SECOND,
        seconds=bench.plan.seconds,
    )


async def _execute(url: str, statement: str) -> None:
    connection = await bare.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _services(bench: Workbench, url: str) -> Iterator[dict[str, Service]]:
    environment = {**bench.kafka_settings(TOPIC), "LAURELS_DATABASE_URL": url}
    services: dict[str, Service] = {}
    # What is in the read models already need not go through Kafka first.
    run(_execute(url, PUBLISHED))
    with ExitStack() as stack:
        for name, module in SERVICES.items():
            command = ["python", "-m", module]
            services[name] = start(name, command, environment=environment, folder=bench.folder, port=free_port())
            stack.callback(services[name].stop)
        for service in services.values():
            service.wait_until_ready()
        yield services
