"""What grows with the data and what must not: the cost of every request against the number of users, and memory."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

import psutil

from bench.client import Load, request
from bench.data import ACHIEVEMENTS, RICH_USERS
from bench.lines.commands import ASYNCHRONOUS, BULK, award_requests, bulk_requests
from bench.lines.reads import STATISTICS
from bench.measures import Curve, Findings, Measure, at_most, milliseconds
from bench.workbench import Laurels, Workbench, settle, up

CONNECTIONS = 16
REQUESTS_A_SECOND = 500
SHARE_OF_A_SAMPLE = 0.5
"""There are many samples here, so each is shorter than elsewhere."""
STEPS = 20
SETTLED_STEPS = STEPS // 10
"""Memory is compared from here on: what a process needs to get going is not growth."""
MEMORY_USERS = 1_000
SINGLES_SHARE = 0.1
MIBIBYTE = 1 << 20


def size(bench: Workbench) -> Findings:
    """Measure every read and the award command over more and more users, ten awards each."""
    sizes = bench.plan.sizes
    tails: dict[str, list[list[float]]] = {name: [[] for _ in sizes] for name in _asked(sizes[0])}
    with ExitStack() as stack:
        running = [stack.enter_context(bench.laurels(users)) for users in sizes]
        asked = [_asked(users) for users in sizes]
        for number in range(bench.plan.rounds):
            for name, of_sizes in tails.items():
                for place, (laurels, found) in enumerate(zip(running, of_sizes, strict=True)):
                    # The ends are what is compared; one sample of what lies between shows the curve.
                    if number == 0 or place in {0, len(sizes) - 1}:
                        found.append(_tail(bench, laurels, asked[place][name]))
        for laurels in running:
            settle(laurels.database_url)
    awards = [users * 10 for users in sizes]
    curve = Curve(
        name="cost-against-size",
        x="awards",
        y="p99, ms",
        sizes=awards,
        series={name: [median(found) for found in of_sizes] for name, of_sizes in tails.items()},
    )
    return Findings([_against_size(name, of_sizes, sizes) for name, of_sizes in tails.items()], [curve])


def _against_size(name: str, of_sizes: Sequence[Sequence[float]], sizes: Sequence[int]) -> Measure:
    return Measure(
        work=f"cost against size, {sizes[-1]:,} users",
        what=f"{name}, p99",
        unit="ms",
        ours=of_sizes[-1],
        reference=f"the same with {sizes[0]:,} users",
        theirs=of_sizes[0],
        target=at_most(1.5),
    )


def _tail(bench: Workbench, laurels: Laurels, requests: Sequence[bytes]) -> float:
    load = Load(
        port=laurels.port,
        requests=requests,
        connections=CONNECTIONS,
        seconds=bench.plan.seconds * SHARE_OF_A_SAMPLE,
        rate=REQUESTS_A_SECOND,
    )
    return milliseconds(bench.load(load).latencies, 0.99)


def _asked(users: int) -> dict[str, list[bytes]]:
    """Return the requests of every kind, about users who are chosen by chance."""
    chosen = random.Random(users).choices(range(1, users + 1), k=2_000)
    rich = range(1, min(users, RICH_USERS) + 1)
    pages = {
        "user by name": [f"users/player-{user}/" for user in chosen],
        "user's awards": [f"users/player-{user}/achievements/?limit=20" for user in rich],
        "user's stats": [f"users/player-{user}/stats/" for user in chosen],
        "user's events": [f"users/player-{user}/events/" for user in chosen],
        "list of users": ["users/"],
        "list of achievements": ["users/achievements"],
        "achievement": [f"users/achievements/{number}" for number in range(1, ACHIEVEMENTS + 1)],
    }
    reads = {name: [request("GET", f"/api/v1/{path}") for path in paths] for name, paths in pages.items()}
    statistics = {name: [request("GET", path)] for name, path in STATISTICS.items()}
    return {**reads, **statistics, "award command": award_requests(users, ASYNCHRONOUS)}


def memory(bench: Workbench) -> Findings:
    """Watch the resident memory of `laurels up` while it takes commands and answers reads."""
    operations = bench.plan.operations
    resident: list[float] = []
    with up(bench.data_folder(MEMORY_USERS)) as laurels:
        process = psutil.Process(laurels.service.process.pid)
        for _ in range(STEPS):
            _operate(bench, laurels, operations // STEPS)
            resident.append(process.memory_info().rss / MIBIBYTE)
    settled = resident[SETTLED_STEPS:]
    measure = Measure(
        work=f"memory of one process over {operations:,} commands and as many reads",
        what=f"RSS at the end, beside that after {operations * SETTLED_STEPS // STEPS:,}",
        unit="MiB",
        ours=[max(settled[-SETTLED_STEPS:])],
        reference="the same process earlier",
        theirs=[settled[0]],
        target=at_most(1.05),
    )
    steps = [operations * step / STEPS for step in range(1, STEPS + 1)]
    curve = Curve(
        "memory", "commands, and as many reads", "RSS, MiB", steps, {"laurels up": resident}, logarithmic=False
    )
    return Findings([measure], [curve])


def _operate(bench: Workbench, laurels: Laurels, count: int) -> None:
    """Send so many commands, most of them in bulk, and so many reads."""
    singles = int(count * SINGLES_SHARE)
    reads = [requests[0] for name, requests in _asked(MEMORY_USERS).items() if name != "award command"]
    bulk = bulk_requests(MEMORY_USERS, max((count - singles) // BULK, 1))
    for requests, number in ((award_requests(MEMORY_USERS, ASYNCHRONOUS), singles), (bulk, len(bulk)), (reads, count)):
        load = Load(port=laurels.port, requests=requests, connections=CONNECTIONS, seconds=0, count=number)
        bench.load(load)
    settle(laurels.database_url)
