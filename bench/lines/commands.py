"""Commands over HTTP: single ones, single ones that wait until they are visible, and a thousand at once."""

import random
from collections.abc import Sequence

import orjson

from bench import bare
from bench.client import Load, request
from bench.data import ACHIEVEMENTS
from bench.measures import Findings, Measure, at_least, at_most, milliseconds
from bench.workbench import Workbench, run, settle

CONNECTIONS = 64
COMMANDS_A_SECOND = 500
BULK = 1_000
ASYNCHRONOUS = "Prefer: respond-async\r\n"
PLAIN_ROUTE = "/users/{name}/achievements"
ROUTE = "/api/v1/users/{name}/achievements/"


def award_requests(users: int, headers: str, route: str = ROUTE) -> list[bytes]:
    """Return requests that award something to users who are chosen by chance."""
    chance = random.Random(users)
    return [
        request(
            "POST",
            route.format(name=f"player-{chance.randint(1, users)}"),
            orjson.dumps({"achievement_id": chance.randint(1, ACHIEVEMENTS)}),
            headers,
        )
        for _ in range(5_000)
    ]


def singles(bench: Workbench) -> Findings:
    """Measure durable award commands beside a route that only validates them."""
    users, seconds = bench.plan.users, bench.plan.seconds
    ours: list[float] = []
    theirs: list[float] = []
    with bench.laurels(users) as laurels, bench.floor("fastapi") as floor:
        for _ in range(bench.plan.rounds):
            commands = award_requests(users, ASYNCHRONOUS)
            load = Load(port=laurels.port, requests=commands, connections=CONNECTIONS, seconds=seconds)
            ours.append(bench.load(load).rate)
            settle(laurels.database_url)
            same = award_requests(users, ASYNCHRONOUS, PLAIN_ROUTE)
            load = Load(port=floor, requests=same, connections=CONNECTIONS, seconds=seconds)
            theirs.append(bench.load(load).rate)
    return Findings(
        [
            Measure(
                work=f"single award commands, durable, {CONNECTIONS} connections",
                what="respond-async",
                unit="commands/s",
                ours=ours,
                reference="plain FastAPI route, same body validated",
                theirs=theirs,
                target=at_least(0.5),
            )
        ]
    )


def waiting(bench: Workbench) -> Findings:
    """Measure how much longer a command takes that waits until reads show it."""
    users = bench.plan.users
    latencies: dict[str, list[Sequence[float]]] = {"": [], ASYNCHRONOUS: []}
    with bench.laurels(users) as laurels:
        for _ in range(bench.plan.rounds):
            for headers, samples in latencies.items():
                load = Load(
                    port=laurels.port,
                    requests=award_requests(users, headers),
                    connections=CONNECTIONS,
                    seconds=bench.plan.seconds,
                    rate=COMMANDS_A_SECOND,
                )
                samples.append(bench.load(load).latencies)
                settle(laurels.database_url)
    return Findings(
        [
            Measure(
                work=f"single award commands, {COMMANDS_A_SECOND} a second",
                what=f"waiting until visible, p{share * 100:.0f}",
                unit="ms",
                ours=[milliseconds(sample, share) for sample in latencies[""]],
                reference="respond-async",
                theirs=[milliseconds(sample, share) for sample in latencies[ASYNCHRONOUS]],
                target=at_most(bound),
            )
            for share, bound in ((0.5, 3), (0.99, 5))
        ]
    )


def bulk(bench: Workbench) -> Findings:
    """Measure a thousand awards a request beside the insertion of the same rows."""
    ours: list[float] = []
    theirs: list[float] = []
    with bench.laurels(bench.plan.users) as laurels:
        requests = bulk_requests(bench.plan.users, 20)
        for _ in range(bench.plan.rounds):
            load = Load(port=laurels.port, requests=requests, connections=1, seconds=bench.plan.seconds)
            ours.append(bench.load(load).rate * BULK)
            settle(laurels.database_url)
            theirs.append(run(bare.insert_rows(laurels.database_url, bench.plan.rows, BULK)))
    return Findings(
        [
            Measure(
                work=f"/commands, {BULK:,} awards a request, one connection",
                what="respond-async",
                unit="awards/s",
                ours=ours,
                reference=f"INSERT … SELECT unnest, {BULK:,} a commit",
                theirs=theirs,
                target=at_least(0.4),
            )
        ]
    )


def bulk_requests(users: int, count: int) -> list[bytes]:
    """Return requests of a thousand awards each, to users who are chosen by chance."""
    chance = random.Random(count)
    return [
        request("POST", "/api/v1/commands", orjson.dumps([_award(chance, users) for _ in range(BULK)]), ASYNCHRONOUS)
        for _ in range(count)
    ]


def _award(chance: random.Random, users: int) -> dict[str, object]:
    return {
        "type": "award-achievement",
        "username": f"player-{chance.randint(1, users)}",
        "achievement_id": chance.randint(1, ACHIEVEMENTS),
        "awarded_at": f"2025-04-{chance.randint(1, 30):02}T12:00:00Z",
    }
