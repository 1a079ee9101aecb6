"""Other ways to do the same work, with the same answers: they show what the figures are worth."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from bench import bare
from bench.client import Load, request
from bench.lines.commands import ASYNCHRONOUS, award_requests
from bench.lines.projection import project, rebuild_once
from bench.lines.reads import STATISTICS
from bench.measures import Findings, Measure
from bench.peers import eventsourcing_service, flask_service
from bench.peers.eventsourcing_service import Given, Totals
from bench.workbench import Workbench, run
from tests.support.processes import free_port, start, wait_until_answers

PREFIX = "/api/v1"
CONNECTIONS = 4
SOMEBODY = "player-7"
AWARDS = "SELECT user_id, achievement_id, points FROM generation_1.user_awards ORDER BY award_id"
TOTALS = "SELECT user_id, total_achievements, total_points FROM generation_1.user_totals"


class OtherAnswer(Exception):
    """A peer does not answer what Laurels answers: its figures would mean nothing."""


def flask(bench: Workbench) -> Findings:
    """Measure the service that counts on each request."""
    users = bench.plan.users
    asked = {
        "user by name": f"/users/{SOMEBODY}/",
        "user's awards": f"/users/{SOMEBODY}/achievements/?limit=20",
        **{name: path.removeprefix(PREFIX) for name, path in STATISTICS.items()},
    }
    rates: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in (*asked, "award command")}
    with bench.laurels(users) as laurels:
        flask_service.prepare(laurels.database_url)
        with _flask(bench, laurels.database_url) as port:
            for path in asked.values():
                _compare(f"http://127.0.0.1:{laurels.port}{PREFIX}{path}", f"http://127.0.0.1:{port}{path}")
            for _ in range(bench.plan.rounds):
                for name, path in asked.items():
                    ours, theirs = rates[name]
                    ours.append(_rate(bench, laurels.port, [request("GET", PREFIX + path)]))
                    theirs.append(_rate(bench, port, [request("GET", path)]))
            for _ in range(bench.plan.rounds):
                ours, theirs = rates["award command"]
                ours.append(_rate(bench, laurels.port, award_requests(users, ASYNCHRONOUS)))
                same = award_requests(users, "", "/users/{name}/achievements/")
                theirs.append(_rate(bench, port, same))
    return Findings(
        [
            Measure(
                work=f"Flask and SQL aggregates, {users:,} users, {CONNECTIONS} connections",
                what=name,
                unit="req/s",
                ours=ours,
                reference="Flask service",
                theirs=theirs,
            )
            for name, (ours, theirs) in rates.items()
        ]
    )


def library(bench: Workbench) -> Findings:
    """Measure the event-sourcing library with the awards of one of our logs."""
    users = bench.plan.peer_users
    with bench.postgres(users) as url:
        totals, awards = run(_given(url))
        theirs = bench.call(eventsourcing_service.award_all, url, sorted(totals), awards).result()
        projected = _project(bench, url, totals, rebuild=False)
        rebuilt = _project(bench, url, totals, rebuild=True)
        ours = run(project(bench, url, {}, 1))
        built = bench.call(rebuild_once, url).result()
    with bench.laurels(users) as laurels:
        commanded = _rate(bench, laurels.port, award_requests(users, ASYNCHRONOUS), eventsourcing_service.THREADS)
    name = f"eventsourcing, {len(awards):,} awards"
    return Findings(
        [
            Measure(work=name, what=what, unit=unit, ours=[mine], reference="eventsourcing", theirs=[its])
            for what, unit, mine, its in (
                (f"award commands, {eventsourcing_service.THREADS} clients", "awards/s", commanded, theirs),
                ("projected", "events/s", ours, projected),
                ("rebuilt", "events/s", built, rebuilt),
            )
        ]
    )


def _project(bench: Workbench, url: str, totals: Totals, *, rebuild: bool) -> float:
    rate, found = bench.call(eventsourcing_service.project_all, url, rebuild=rebuild).result()
    if found != totals:
        raise OtherAnswer("the event-sourcing library counts other totals")
    return rate


async def _given(url: str) -> tuple[Totals, Sequence[Given]]:
    """Return our totals, and the awards that they are made of."""
    connection = await bare.connect(url)
    try:
        totals = {user_id: (count, points) for user_id, count, points in await connection.fetch(TOTALS)}
        return totals, [Given(*row) for row in await connection.fetch(AWARDS)]
    finally:
        await connection.close()


@contextmanager
def _flask(bench: Workbench, url: str) -> Iterator[int]:
    port = free_port()
    command = ["-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    service = start(
        "flask",
        ["python", *command, "bench.peers.flask_service:create_app()"],
        environment={flask_service.ADDRESS: url},
        folder=bench.folder,
        port=port,
    )
    try:
        wait_until_answers(f"{service.url}/users/{SOMEBODY}/", service)
        yield port
    finally:
        service.stop()


def _rate(bench: Workbench, port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> float:
    """Return answers a second; by the mean latency, since a slow service gives few answers in so short a time."""
    load = Load(port=port, requests=requests, connections=connections, seconds=bench.plan.seconds)
    return connections / bench.load(load).mean


def _compare(ours: str, theirs: str) -> None:
    expected, actual = _fetched(ours), _fetched(theirs)
    if expected != actual:
        raise OtherAnswer(f"{theirs} says {actual}, {ours} says {expected}")


def _fetched(url: str) -> Any:  # noqa: ANN401 - JSON is anything
    with urlopen(url) as response:  # noqa: S310 - our own addresses
        return json.load(response)
