"""`/metrics` under attack: what clients send makes no series of its own, and asking for it holds nobody up."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
from prometheus_client import REGISTRY, Counter, generate_latest

from shared.http.exposition import SLICE, Exposition
from tests.contract.helpers import FreshLaurels
from tests.hostile.raw import say
from tests.hostile.test_raw_requests import ports
from tests.support.deployments import Laurels

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "PURGE", "SEARCH")
PATHS = ("/", "/health", "/ready", "/docs", "/admin/rebuilds", "/nope", *(f"/api/v1/nope-{n}" for n in range(20)))
API_PATHS = ("/users", "/users/a", "/users/achievements", "/users/a/achievements/1", "/commands", "/users/a/stats")
SERIES = 3000
"""Ten routes for each of which everything is tried do not come near it; a series for each path or method would."""


def metrics_of(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text


def test_clients_name_no_series(laurels: Laurels) -> None:
    """Paths and methods that nobody knows are counted together."""
    for port in ports(laurels):
        for path in (*PATHS, *(f"/api/v1{path}" for path in API_PATHS)):
            for method in METHODS:
                say(port, f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())

        # Made again only after a while, so the last request may not be in it.
        text = metrics_of(port)
        methods = set(re.findall(r'[{,]method="([^"]*)"', text))
        routes = set(re.findall(r'[{,]route="([^"]*)"', text))
        assert {"GET", "other"} <= methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
        assert not [route for route in routes if "nope" in route]
        assert text.count("\n") < SERIES


def test_many_who_ask_for_metrics_hold_nobody_up(laurels: Laurels) -> None:
    """Everybody is answered while a hundred connections ask for metrics without a pause."""
    (port, *_) = ports(laurels)
    request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ThreadPoolExecutor(100) as threads:
        asking = [threads.submit(say, port, request * 5, answers=5) for _ in range(100)]
        health = [say(port, b"GET /health HTTP/1.0\r\n\r\n").status for _ in range(10)]
        replies = [asked.result() for asked in asking]

    assert [200] * 10 == health
    assert {200} == {reply.status for reply in replies}


def test_the_rate_limit_covers_every_route(fresh_laurels: FreshLaurels) -> None:
    """Whatever a client asks for counts."""
    laurels = fresh_laurels(LAURELS_RATE_LIMIT="20/second")
    for path in ("/metrics", "/health", "/docs", "/openapi.json", "/nope", "/admin/rebuilds"):
        # In HTTP/1.1 all of them over one connection, so that a second is long enough for them.
        address = laurels.where(path)
        reply = [laurels.http.get(address) for _ in range(60)]
        assert 429 in {found.status_code for found in reply}, path


async def test_slices_are_the_whole_text() -> None:
    """What is written in slices is what the library writes at once."""
    counter = Counter("laurels_test_slices", "Of this test.", ["number"])
    for number in range(3 * SLICE + 1):
        counter.labels(number).inc()
    exposition = Exposition(_nothing)

    text = await exposition.text()

    REGISTRY.unregister(counter)
    assert 3 * SLICE + 1 == text.count(b"\nlaurels_test_slices_total{")
    assert 1 == text.count(b"# TYPE laurels_test_slices_total counter")
    assert b"process_" in generate_latest(REGISTRY)


async def test_one_text_is_made_at_a_time() -> None:
    """Who asks while a text is made gets the last one, or the one that is made if there is none yet."""
    made = 0
    go_on = asyncio.Event()

    async def refresh() -> None:
        nonlocal made
        made += 1
        await go_on.wait()

    exposition = Exposition(refresh)
    asking = [asyncio.create_task(exposition.text()) for _ in range(20)]
    await asyncio.sleep(0)
    go_on.set()
    texts = {await asked for asked in asking}

    assert (1, 1) == (made, len(texts))

    exposition._fresh_until = 0.0
    go_on.clear()
    another = asyncio.create_task(exposition.text())
    while made < 2:  # noqa: ASYNC110 - another task's doing
        await asyncio.sleep(0)
    meanwhile = await exposition.text()
    go_on.set()
    await another

    assert {meanwhile} == texts


async def _nothing() -> None:
    """Leave the gauges as they are."""
