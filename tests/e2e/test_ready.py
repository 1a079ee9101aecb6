"""`/ready` while the database hangs, and on a full disk; and what commands are answered meanwhile."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from all_in_one.embedded_postgres import EmbeddedPostgres, processes
from all_in_one.migrations import migrate
from shared.http.checks import writable
from shared.runtime.database import Role, open_pool
from tests.support.deployments import Laurels, embedded
from tests.support.processes import Service
from tests.support.small_disk import MEGABYTE, filled, small_disk

API = "/api/v1"
SECONDS = 30.0
BOUND = 2.0
"""Seconds within which `/ready` answers, whatever hangs."""


def ready(service: Service) -> tuple[int, str]:
    """Ask within the bound; return the status and what is told."""
    started = time.monotonic()
    response = httpx.get(f"{service.url}/ready", timeout=SECONDS)
    assert time.monotonic() - started < BOUND, response.text
    return response.status_code, response.json().get("detail", "")


def until_ready(service: Service) -> None:
    deadline = time.monotonic() + SECONDS
    while (found := ready(service))[0] != 200:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@contextmanager
def hanging(cluster: Path) -> Iterator[None]:
    """Stop every process of a PostgreSQL, as a hanging disk or a paused machine does, while the block runs."""
    stopped = processes.servers(cluster)
    _signal(stopped, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(stopped, signal.SIGCONT)


def _signal(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


def test_a_database_that_hangs_is_told_in_time(fresh_laurels: Callable[..., Laurels]) -> None:
    """Every service says within two seconds, again and again, that its database does not answer; and then recovers."""
    laurels = fresh_laurels()
    folder = laurels.services["up"][0].log.parent / "data" if laurels.postgres is None else laurels.postgres._folder
    services = [service for name, many in laurels.services.items() if name != "gateway" for service in many]

    with hanging(folder / "cluster"):
        for service in services * 2:
            status, detail = ready(service)
            assert (503, True) == (status, "database: no answer" in detail), detail

    for service in services:
        until_ready(service)


def award(laurels: Laurels, awards: int) -> list[httpx.Response]:
    """Award ada by requests of up to 500 commands."""
    command = {"type": "award-achievement", "username": "ada", "achievement_id": 1}
    return [laurels.http.post(f"{API}/commands", json=[command] * 500, timeout=SECONDS) for _ in range(awards // 500)]


def statuses(responses: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(result["status"] for response in responses for result in response.json())


def given_ada(laurels: Laurels) -> None:
    laurels.http.post(f"{API}/users/", json={"username": "ada", "user_language": "en"}).raise_for_status()
    first = {"achievement_name": "First run", "achievement_description": "", "achievement_language": "en"}
    laurels.http.post(f"{API}/users/achievements", json=first).raise_for_status()


@pytest.mark.parametrize("left", [0, 12 * MEGABYTE])
def test_a_full_disk_refuses_commands_and_ends_nothing(tmp_path: Path, left: int) -> None:
    """Commands are 503 with Retry-After, reads go on, `/ready` says why; with room again all goes on, and none is lost.

    What is left is too little for a segment of WAL, without which PostgreSQL gives up.
    """
    with small_disk(tmp_path / "disk", 200) as disk, embedded(disk, {}) as laurels:
        (up,) = laurels.services["up"]
        given_ada(laurels)
        kept = statuses(award(laurels, 1_000))

        with filled(disk, but=left):
            during = statuses(award(laurels, 20_000))
            refused = laurels.http.post(f"{API}/users/ada/achievements/", json={"achievement_id": 1})
            shown = laurels.http.get(f"{API}/users/ada/")
            told = ready(up)
        until_ready(up)
        after = statuses(award(laurels, 500))
        held = laurels.http.get(f"{API}/users/achievements-stats/max-count/").json()["total_achievements"]

    assert (503, "1") == (refused.status_code, refused.headers["Retry-After"])
    assert 200 == shown.status_code
    assert 503 == told[0]
    assert f"MB are free in {disk / 'data'}" in told[1]
    assert {201, 503} >= set(during)
    assert Counter({201: 500}) == after
    assert held == kept[201] + during[201] + after[201]


async def test_the_check_of_the_log_says_what_keeps_it_from_growing(tmp_path: Path) -> None:
    """A database of somebody else's is tried by a write: a full disk, read-only and a lock that is held are told."""
    with small_disk(tmp_path / "disk", 120) as disk:
        server = EmbeddedPostgres(disk / "data")
        url = (await server.start()).url
        try:
            await asyncio.to_thread(migrate, url)
            async with open_pool(url, Role.COMMAND, size=2) as pool:
                assert await writable(pool)() is None
                with filled(disk):
                    assert "its disk is full" == await writable(pool)()
                assert await writable(pool)() is None
                connection = await asyncpg.connect(url)
                async with connection.transaction():
                    await connection.execute("SELECT FROM log_head FOR UPDATE")
                    assert "the head of the log is locked" == await writable(pool)()
                await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
                await connection.execute("SELECT pg_reload_conf()")
                await connection.close()
            async with open_pool(url, Role.COMMAND, size=2) as pool:
                assert "is read-only" == await writable(pool)()
        finally:
            await server.stop()
