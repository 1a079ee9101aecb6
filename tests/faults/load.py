"""Clients that command without pause, send again whatever was not answered, and record what was acknowledged."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson

TRANSIENT = frozenset({500, 502, 503, 504})
START = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = ("First run", "Early bird", "Helper", "Finisher")
ONCE = "Founder"
AGAIN = 0.1
"""Share of the acknowledged commands that are sent once more, to compare the answers."""
BULK_RARELY, BULK_BEHIND = 0.003, 0.2
"""Share of the bulk requests: as a rule, and while fewer events are acknowledged than there should be by now."""
BULK_SIZES = range(20, 700)
"""Commands in a bulk request; the larger ones are more than one group commit, so that a part of them can fail."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A command that was answered for good, and the event of it that has to be at `position`.

    `number` is its place among its client's. `subject` is the user's id of an award, the award's id of a revocation,
    a name otherwise. `position` is None where the command was refused.
    """

    client: int
    number: int
    type: str
    subject: int | str
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command as it is sent, and the event that is to come of it; `refusable` where 409 is an answer too."""

    method: str
    path: str
    json: object
    type: str
    subject: int | str
    refusable: bool = False


@dataclass(slots=True)
class Load:
    """What the clients did: `acknowledged` in the order of the answers, `unequal` where a repetition differed.

    `until` is how many events are to be acknowledged when the faults are over, and `progress`, from 0 to 1, how many of
    the faults are.
    """

    ports: Sequence[int]
    seed: int
    until: int = 0
    clients: int = 8
    progress: float = 0.0
    acknowledged: list[Acknowledged] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    repeated: int = 0
    errors: int = 0
    last_at: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        """Whether the clients may stop."""
        return self.progress >= 1 and len(self.acknowledged) >= self.until

    @property
    def bulk_share(self) -> float:
        """How often a client posts in bulk."""
        return BULK_BEHIND if len(self.acknowledged) < self.until * self.progress else BULK_RARELY

    async def run(self) -> None:
        """Command until all is done."""
        await _Client(self, -1).define_achievements()
        async with asyncio.TaskGroup() as tasks:
            for client in range(self.clients):
                tasks.create_task(_Client(self, client).run())

    def record(self, done: Acknowledged) -> None:
        """Note a command that was answered for good."""
        self.acknowledged.append(done)
        self.last_at = time.monotonic()

    def record_error(self, answer: bytes) -> None:
        """Note an answer of 500 that another client got."""
        self.errors += 1
        self.unexpected.append(f"{answer!r}")


class _Client:
    def __init__(self, load: Load, number: int) -> None:
        self._load, self._client = load, number
        self._random = random.Random(f"{load.seed} client {number}")
        self._number = 0
        self._users: list[tuple[str, int]] = []
        self._awards: list[tuple[str, int]] = []
        self._http = httpx.AsyncClient(timeout=5, trust_env=False)

    async def define_achievements(self) -> None:
        """Fill the catalogue."""
        for name in (*NAMES, ONCE):
            feat = {
                "achievement_name": name,
                "achievement_description": "",
                "achievement_language": "en",
                "achievement_point": 10 * (1 + len(name)),
                "repeatable": name != ONCE,
            }
            path = "/users/achievements"
            await self._command(Sent(method="POST", path=path, json=feat, type="achievement-defined", subject=name))

    async def run(self) -> None:
        """Register users, then award, revoke and change them."""
        for _ in range(5):
            await self._register()
        while not self._load.done:
            if self._random.random() < self._load.bulk_share:
                await self._award_many()
            else:
                await self._something()

    async def _something(self) -> None:
        chosen, (user, user_id) = self._random.random(), self._random.choice(self._users)
        path = f"/users/{user}"
        if chosen < 0.002:
            await self._register()
        elif chosen < 0.04 and self._awards:
            user, award_id = self._awards.pop(self._random.randrange(len(self._awards)))
            path = f"/users/{user}/achievements/{award_id}"
            await self._command(Sent(method="DELETE", path=path, json=None, type="award-revoked", subject=award_id))
        elif chosen < 0.06:
            json = {"user_language": self._random.choice(("en", "ru"))}
            await self._command(Sent(method="PATCH", path=path, json=json, type="user-changed", subject=user))
        elif chosen < 0.08:
            await self._award(user, user_id, {"achievement_name": ONCE})
        else:
            await self._award(user, user_id, self._repeatable())

    async def _register(self) -> None:
        name = f"user-{self._client}-{len(self._users)}"
        zone = self._random.choice(("UTC", "Europe/Moscow", "Pacific/Auckland"))
        json = {"username": name, "user_language": "en", "user_timezone": zone}
        answer = await self._command(
            Sent(method="POST", path="/users/", json=json, type="user-created", subject=name),
        )
        if "user_id" in answer:
            self._users.append((name, answer["user_id"]))

    async def _award(self, user: str, user_id: int, json: dict[str, str]) -> None:
        path = f"/users/{user}/achievements/"
        once = "awarded_at" not in json
        answer = await self._command(
            Sent(method="POST", path=path, json=json, type="achievement-awarded", subject=user_id, refusable=once)
        )
        if not once and "award_id" in answer:
            self._awards.append((user, answer["award_id"]))

    def _repeatable(self) -> dict[str, str]:
        # No two commands have the same time, so an event that is counted twice is seen without knowing its key.
        seconds, microseconds = divmod(self._number, 100_000)
        at = START + timedelta(
            days=self._random.randrange(40),
            hours=self._random.randrange(24),
            seconds=seconds,
            microseconds=(self._client + 1) * 100_000 + microseconds,
        )
        return {"achievement_name": self._random.choice(NAMES), "awarded_at": at.isoformat()}

    async def _command(self, sent: Sent) -> Any:
        """Send until it is answered for good; return the body."""
        key = self._next_key()
        response = await self._until_answered(sent.method, sent.path, sent.json, key)
        if not (response.is_success or (sent.refusable and response.status_code == 409)):
            self._load.unexpected.append(f"{sent}: {response.status_code} {response.text}")
        position = response.headers.get("Event-Position")
        self._load.record(
            Acknowledged(self._client, self._number, sent.type, sent.subject, int(position) if position else None)
        )
        if self._random.random() < AGAIN:
            again = await self._until_answered(sent.method, sent.path, sent.json, key)
            self._compare(key, (response.status_code, response.content), (again.status_code, again.content))
        return orjson.loads(response.content or b"null")

    async def _award_many(self) -> None:
        """Award in bulk; each command of the request is acknowledged by itself."""
        users, commands, numbers = [], [], []
        for _ in range(self._random.choice(BULK_SIZES)):
            users.append(self._random.choice(self._users))
            award = {"type": "award-achievement", "username": users[-1][0], "idempotency_key": self._next_key()}
            commands.append(award | self._repeatable())
            numbers.append(self._number)
        results = await self._until_all_answered(commands)
        for number, (_, user_id), result in zip(numbers, users, results, strict=True):
            if result["status"] != 201:
                self._load.unexpected.append(f"{result} in bulk")
            # The id of an award is the position of its event.
            position = result.get("body", {}).get("award_id")
            self._load.record(Acknowledged(self._client, number, "achievement-awarded", user_id, position))
        if position:
            self._awards.append((users[-1][0], position))
        if self._random.random() < AGAIN:
            again = await self._until_all_answered(commands)
            for command, first, second in zip(commands, results, again, strict=True):
                self._compare(command["idempotency_key"], first, second)

    def _next_key(self) -> str:
        self._number += 1
        return f"{self._load.seed}-{self._client}-{self._number}"

    def _compare(self, key: str, first: object, second: object) -> None:
        self._load.repeated += 1
        if first != second:
            self._load.unequal.append(f"{key}: {first}, then {second}")

    async def _until_all_answered(self, commands: Sequence[dict[str, str]]) -> list[Any]:
        """Post until every command of a bulk request has its result; those of 503 are sent again."""
        results: list[Any] = []
        while True:
            response = await self._until_answered("POST", "/commands", commands[len(results) :], None)
            if not response.is_success:
                return [*results, *[{"status": response.status_code}] * (len(commands) - len(results))]
            found = response.json()
            self._load.errors += sum(result["status"] == 500 for result in found)
            # After a command that could not be taken, no later one of its request is: all that follow come again.
            results += itertools.takewhile(lambda result: result["status"] not in TRANSIENT, found)
            if len(results) == len(commands):
                return results
            await self._pause()

    async def _until_answered(self, method: str, path: str, json: object, key: str | None) -> httpx.Response:
        headers = {"Prefer": "respond-async"} | ({"Idempotency-Key": key} if key else {})
        while True:
            port = self._random.choice(self._load.ports)
            with contextlib.suppress(httpx.HTTPError):
                url = f"http://127.0.0.1:{port}/api/v1{path}"
                response = await self._http.request(method, url, json=json, headers=headers)
                # 503 says that it may be sent again; 500 would be a bug.
                self._load.errors += response.status_code == 500
                if response.status_code not in TRANSIENT:
                    return response
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0.02, 0.1))
