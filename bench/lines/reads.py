"""Reads over HTTP: the statistics that everybody asks for, and what is asked about one user."""

import random
from collections.abc import Sequence
from dataclasses import replace

from bench.client import Load, Outcome, request
from bench.data import RICH_USERS
from bench.lines.commands import ASYNCHRONOUS, award_requests
from bench.measures import Findings, Measure, at_least, at_most, milliseconds
from bench.workbench import Workbench

STATISTICS = {
    "max-count": "/api/v1/users/achievements-stats/max-count/",
    "max-points": "/api/v1/users/achievements-stats/max-points/",
    "difference": "/api/v1/users/achievements-stats/max-min-difference/",
    "streak": "/api/v1/users/achievements-stats/streak/",
}
CONNECTIONS = 32
AWARDS_A_SECOND = 200
HALF = 0.5
"""Latencies are taken at this share of the rate that Laurels reaches, so that no queue builds up on either side."""


def hot(bench: Workbench) -> Findings:
    """Measure the statistics while awards come in."""
    seconds = bench.plan.seconds
    rates: dict[str, list[float]] = {name: [] for name in (*STATISTICS, "bare")}
    tails: dict[str, list[float]] = {"ours": [], "bare": [], "disturbed": []}
    mixed = [request("GET", path) for path in STATISTICS.values()]
    with bench.laurels(bench.plan.users) as laurels, bench.floor("asgi") as floor:
        awards = award_requests(bench.plan.users, ASYNCHRONOUS)

        def ours(requests: Sequence[bytes], rate: float | None = None) -> Load:
            return Load(port=laurels.port, requests=requests, connections=CONNECTIONS, seconds=seconds, rate=rate)

        def bare(rate: float | None = None) -> Load:
            return Load(port=floor, requests=mixed[:1], connections=CONNECTIONS, seconds=seconds, rate=rate)

        stream = Load(port=laurels.port, requests=awards, connections=8, seconds=seconds, rate=AWARDS_A_SECOND)

        def while_awards_come_in(load: Load) -> Outcome:
            coming_in = bench.beside(stream)
            outcome = bench.load(load)
            coming_in.result()
            return outcome

        for _ in range(bench.plan.rounds):
            for name, path in STATISTICS.items():
                rates[name].append(while_awards_come_in(ours([request("GET", path)])).rate)
            rates["bare"].append(bench.load(bare()).rate)
            rate = HALF * min(rates[name][-1] for name in STATISTICS)
            tails["ours"].append(milliseconds(while_awards_come_in(ours(mixed, rate)).latencies, 0.99))
            tails["bare"].append(milliseconds(bench.load(bare(rate)).latencies, 0.99))
            tails["disturbed"].append(milliseconds(while_awards_come_in(bare(rate)).latencies, 0.99))
    work = f"statistics, {bench.plan.users:,} users, {AWARDS_A_SECOND} awards/s coming in"
    slowest = Measure(
        work=work,
        what=f"all four, p99 over {CONNECTIONS} connections",
        unit="ms",
        ours=tails["ours"],
        reference="bare ASGI app",
        theirs=tails["bare"],
        target=at_most(2.5),
    )
    reference = "bare ASGI app, the same awards coming in beside it"
    return Findings(
        [
            *(
                Measure(
                    work=work,
                    what=name,
                    unit="req/s",
                    ours=rates[name],
                    reference="bare ASGI app",
                    theirs=rates["bare"],
                    target=at_least(0.5),
                )
                for name in STATISTICS
            ),
            slowest,
            replace(slowest, reference=reference, theirs=tails["disturbed"], target=None),
        ]
    )


def lookups(bench: Workbench) -> Findings:
    """Measure what is asked about one user."""
    users = bench.plan.users
    chosen = random.Random(users).sample(range(1, users + 1), min(users, 2_000))
    rich = range(1, min(users, RICH_USERS) + 1)
    asked = {
        "user by name": [request("GET", f"/api/v1/users/player-{user}/") for user in chosen],
        "user's awards, 20 rows": [
            request("GET", f"/api/v1/users/player-{user}/achievements/?limit=20") for user in rich
        ],
        "user's stats": [request("GET", f"/api/v1/users/player-{user}/stats/") for user in chosen],
    }
    rates: dict[str, list[float]] = {name: [] for name in (*asked, "plain")}
    with bench.laurels(users) as laurels, bench.floor("fastapi") as floor:
        for _ in range(bench.plan.rounds):
            for name, requests in asked.items():
                load = Load(port=laurels.port, requests=requests, connections=CONNECTIONS, seconds=bench.plan.seconds)
                rates[name].append(bench.load(load).rate)
            constant = [request("GET", "/constant")]
            load = Load(port=floor, requests=constant, connections=CONNECTIONS, seconds=bench.plan.seconds)
            rates["plain"].append(bench.load(load).rate)
    return Findings(
        [
            Measure(
                work=f"lookups, {users:,} users",
                what=name,
                unit="req/s",
                ours=rates[name],
                reference="plain FastAPI route, a constant",
                theirs=rates["plain"],
                target=at_least(0.5),
            )
            for name in asked
        ]
    )


def servers(bench: Workbench) -> Findings:
    """Measure applications that do nothing under granian, beside the server that Laurels runs under."""
    constant = [request("GET", "/constant")]
    measures = []
    for kind, what in (("asgi", "bare ASGI app"), ("fastapi", "plain FastAPI route")):
        rates: dict[str, list[float]] = {"granian": [], "uvicorn": []}
        with bench.floor(kind, "granian") as granian, bench.floor(kind) as uvicorn:
            for _ in range(bench.plan.rounds):
                for name, port in (("granian", granian), ("uvicorn", uvicorn)):
                    load = Load(port=port, requests=constant, connections=CONNECTIONS, seconds=bench.plan.seconds)
                    rates[name].append(bench.load(load).rate)
        measures.append(
            Measure(
                work="the server itself, granian",
                what=what,
                unit="req/s",
                ours=rates["granian"],
                reference="uvicorn",
                theirs=rates["uvicorn"],
            )
        )
    return Findings(measures)
