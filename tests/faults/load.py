"""Clients that command without pause, send again whatever was not answered, and record what was acknowledged."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

TRANSIENT = frozenset({500, 502, 503, 504})
START = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = ("First run", "Early bird", "Helper", "Finisher")
ONCE = "Founder"
AGAIN = 0.1
"""Share of the acknowledged commands that are sent once more, to compare the answers."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A command that was answered for good: its key, its place among its client's, the answer."""

    client: int
    number: int
    key: str
    method: str
    path: str
    json: Any
    status: int
    body: bytes
    position: int | None


@dataclass(slots=True)
class Load:
    """What the clients did: `acknowledged` in the order of the answers, `unequal` where a repetition differed."""

    ports: Sequence[int]
    seed: int
    clients: int = 8
    acknowledged: list[Acknowledged] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    repeated: int = 0
    errors: int = 0
    last_at: float = field(default_factory=time.monotonic)
    stopping: bool = False

    async def run(self, until: int) -> None:
        """Command until so many events are acknowledged and `stopping` is set."""
        async with asyncio.TaskGroup() as tasks:
            await self._catalogue()
            for client in range(self.clients):
                tasks.create_task(_Client(self, client, until).run())

    async def _catalogue(self) -> None:
        client = _Client(self, -1, 0)
        for name in (*NAMES, ONCE):
            await client.command(
                "POST",
                "/users/achievements",
                {
                    "achievement_name": name,
                    "achievement_description": "",
                    "achievement_language": "en",
                    "achievement_point": 10 * (1 + len(name)),
                    "repeatable": name != ONCE,
                },
            )


class _Client:
    def __init__(self, load: Load, number: int, until: int) -> None:
        self._load, self._client, self._until = load, number, until
        self._random = random.Random(f"{load.seed} client {number}")
        self._number = 0
        self._users: list[str] = []
        self._awards: list[tuple[str, int]] = []
        self._http = httpx.AsyncClient(timeout=5, trust_env=False)

    async def run(self) -> None:
        """Register users, then award, revoke and change them."""
        for number in range(5):
            name = f"user-{self._client}-{number}"
            zone = self._random.choice(("UTC", "Europe/Moscow", "Pacific/Auckland"))
            await self.command("POST", "/users/", {"username": name, "user_language": "en", "user_timezone": zone})
            self._users.append(name)
        while not (self._load.stopping and len(self._load.acknowledged) >= self._until):
            await self._something()

    async def _something(self) -> None:
        chosen, user = self._random.random(), self._random.choice(self._users)
        if chosen < 0.04 and self._awards:
            user, award_id = self._awards.pop(self._random.randrange(len(self._awards)))
            await self.command("DELETE", f"/users/{user}/achievements/{award_id}", None)
        elif chosen < 0.06:
            language = self._random.choice(("en", "ru"))
            await self.command("PATCH", f"/users/{user}", {"user_language": language})
        elif chosen < 0.08:
            await self.command("POST", f"/users/{user}/achievements/", {"achievement_name": ONCE})
        else:
            await self._award(user)

    async def _award(self, user: str) -> None:
        day = START + timedelta(days=self._random.randrange(40), seconds=self._random.randrange(86400))
        # No two commands have the same time, so an event that is counted twice is seen without knowing its key.
        unique = day + timedelta(microseconds=(self._client + 1) * 100_000 + self._number % 100_000)
        body = {"achievement_name": self._random.choice(NAMES), "awarded_at": unique.isoformat()}
        answer = await self.command("POST", f"/users/{user}/achievements/", body)
        if answer.status == 201:
            self._awards.append((user, httpx.Response(201, content=answer.body).json()["award_id"]))

    async def command(self, method: str, path: str, json: object) -> Acknowledged:
        """Send until it is answered for good."""
        self._number += 1
        key = f"{self._load.seed}-{self._client}-{self._number}"
        response = await self._until_answered(method, path, json, key)
        position = response.headers.get("Event-Position")
        done = Acknowledged(
            self._client,
            self._number,
            key,
            method,
            path,
            json,
            response.status_code,
            response.content,
            int(position) if position else None,
        )
        self._load.acknowledged.append(done)
        self._load.last_at = time.monotonic()
        if self._random.random() < AGAIN:
            await self._repeat(done)
        return done

    async def _repeat(self, done: Acknowledged) -> None:
        again = await self._until_answered(done.method, done.path, done.json, done.key)
        self._load.repeated += 1
        if (again.status_code, again.content) != (done.status, done.body):
            self._load.unequal.append(
                f"{done.key}: {done.status} {done.body!r}, then {again.status_code} {again.content!r}"
            )

    async def _until_answered(self, method: str, path: str, json: object, key: str) -> httpx.Response:
        while True:
            port = self._random.choice(self._load.ports)
            headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
            with contextlib.suppress(httpx.HTTPError):
                url = f"http://127.0.0.1:{port}/api/v1{path}"
                response = await self._http.request(method, url, json=json, headers=headers)
                # 503 says that it may be sent again; 500 would be a bug.
                self._load.errors += response.status_code == 500
                if response.status_code not in TRANSIENT:
                    return response
            await asyncio.sleep(self._random.uniform(0.02, 0.1))
