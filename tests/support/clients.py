"""Clients that read and award without pause, and notice what no client may ever see."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.synchronously import synchronously

API = "/api/v1"
SECONDS = 30.0
READERS = 2


@dataclass(frozen=True, slots=True)
class Read:
    """A path that is read, how it is answered, and a number in its answer that never goes down."""

    path: str
    total: Callable[[Any], int] = lambda _body: 0
    status: int = 200


def every_read(username: str, achievement_id: int) -> Sequence[Read]:
    """Return a read of every kind; nothing may be revoked while they go on, and the user holds 100 awards at most."""
    statistics = f"{API}/users/achievements-stats"
    return [
        Read(f"{API}/users/", len),
        Read(f"{API}/users/{username}/"),
        Read(f"{API}/users/nobody-at-all/", status=404),
        Read(f"{API}/users/achievements"),
        Read(f"{API}/users/achievements/{achievement_id}"),
        Read(f"{API}/users/{username}/achievements/?limit=100", len),
        Read(f"{statistics}/max-count/", lambda body: int(body["total_achievements"])),
        Read(f"{statistics}/max-points/", lambda body: int(body["total_points"])),
        Read(f"{statistics}/max-min-difference/"),
        Read(f"{statistics}/streak/?days=2", len),
        Read(f"{statistics}/streak/?days=2&mode=current"),
    ]


@dataclass(slots=True)
class Seen:
    """What clients have come across: answers by path, and in words what should not have been."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def reading(base_url: str, reads: Sequence[Read]) -> Iterator[Seen]:
    """Read all of these without pause; at the end, fail if a client saw an error or something older than before."""
    seen = Seen()
    with _until_the_end([_read(base_url, reads, seen) for _ in range(READERS)]):
        yield seen
    assert not seen.wrong, seen.wrong[:5]
    assert {read.path for read in reads} == set(seen.answers)


async def _read(base_url: str, reads: Sequence[Read], seen: Seen) -> None:
    position = 0
    totals: dict[str, int] = {}
    async with httpx.AsyncClient(base_url=base_url, timeout=SECONDS) as http:
        for read in itertools.cycle(reads):
            try:
                response = await http.get(read.path)
            except httpx.HTTPError as error:
                seen.wrong.append(f"{read.path}: {error!r}")
                continue
            seen.answers[read.path] += 1
            if response.status_code != read.status:
                seen.wrong.append(f"{read.path}: {response.status_code} {response.text}")
                continue
            if response.status_code == httpx.codes.OK:
                total = read.total(response.json())
                at = int(response.headers["Read-Position"])
                if at < position or total < totals.get(read.path, 0):
                    seen.wrong.append(f"{read.path}: {total} at {at}, after {totals.get(read.path)} and {position}")
                position, totals[read.path] = at, total


@contextmanager
def awarding(base_url: str, usernames: Sequence[str], body: Mapping[str, object]) -> Iterator[list[int]]:
    """Award one user after the other without pause, and yield the positions; at the end, fail if one was refused."""
    positions: list[int] = []
    refused: list[str] = []

    async def award() -> None:
        async with httpx.AsyncClient(base_url=base_url, timeout=SECONDS) as http:
            for username in itertools.cycle(usernames):
                path = f"{API}/users/{username}/achievements/"
                response = await http.post(path, json=body, headers={"Prefer": "respond-async"})
                if response.status_code == httpx.codes.CREATED:
                    positions.append(int(response.headers["Event-Position"]))
                else:
                    refused.append(response.text)

    with _until_the_end([award()]):
        yield positions
    assert not refused, refused[:5]
    assert positions


@contextmanager
def _until_the_end(works: Sequence[Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Run these beside the block, and cancel them at its end; what one of them fails with is raised."""

    async def begin() -> list[asyncio.Task[None]]:
        return [asyncio.create_task(work) for work in works]

    async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    tasks = synchronously(begin())
    try:
        yield
    finally:
        synchronously(end(tasks))
