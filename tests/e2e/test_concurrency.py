"""Many clients at once: acknowledged means once, whatever is sent again, cut off or imported beside it."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.deployments import Laurels, fetch

API = "/api/v1"
SECONDS = 60.0
CLIENTS = 32
AWARDS_EACH = 8
USERS = 5
IMPORTED = 20_000
AWARDS = (
    "SELECT position, user_id, (data ->> 'award_id')::bigint AS award_id FROM events WHERE type = 'achievement-awarded'"
)

Make = Callable[..., Laurels]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One award that one client wants made, however often it has to be asked for."""

    username: str
    achievement: str
    key: str

    @property
    def path(self) -> str:
        """Where the award is posted."""
        return f"{API}/users/{self.username}/achievements/"

    @property
    def body(self) -> bytes:
        """What is posted."""
        return json.dumps({"achievement_name": self.achievement}).encode()


def given_users_and_achievements(laurels: Laurels) -> None:
    """Register user-0, user-1, … and define feat-0 (1 point), feat-1 (10) and feat-2 (100)."""
    users = [{"type": "create-user", "username": f"user-{n}", "user_language": "en"} for n in range(USERS)]
    feats = [
        {
            "type": "define-achievement",
            "achievement_name": f"feat-{n}",
            "achievement_description": "",
            "achievement_language": "en",
            "achievement_point": 10**n,
        }
        for n in range(3)
    ]
    results = laurels.http.post(f"{API}/commands", json=users + feats).json()
    assert {201} == {result["status"] for result in results}, results


def test_every_acknowledged_award_is_in_the_log_exactly_once(fresh_laurels: Make) -> None:
    """32 clients at once, each command sent three times and one of them cut off: one event, one answer a key."""
    laurels = fresh_laurels()
    given_users_and_achievements(laurels)
    dice = random.Random(32)
    wanted = [
        [
            Attempt(f"user-{dice.randrange(USERS)}", f"feat-{dice.randrange(3)}", f"client-{client}/{number}")
            for number in range(AWARDS_EACH)
        ]
        for client in range(CLIENTS)
    ]

    answers = asyncio.run(all_clients(laurels, wanted))

    given = {key: {response.content for response in responses} for key, responses in answers.items()}
    assert CLIENTS * AWARDS_EACH == len(given)
    assert {1} == {len(bodies) for bodies in given.values()}, "a key was answered in two ways"
    acknowledged = [json.loads(body)["award_id"] for bodies in given.values() for body in bodies]
    first_times = [sum("Idempotency-Replayed" not in r.headers for r in responses) for responses in answers.values()]
    assert max(first_times) <= 1, "two answers claim to be the first"
    recorded = [row["award_id"] for row in fetch(laurels, AWARDS)]
    assert sorted(acknowledged) == sorted(recorded)
    assert_gapless(laurels)
    assert_reads_agree(laurels, Counter(attempt.username for attempts in wanted for attempt in attempts))


async def all_clients(laurels: Laurels, wanted: Sequence[Sequence[Attempt]]) -> Mapping[str, Sequence[httpx.Response]]:
    """Let every client work through its awards; return the answers by key."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=laurels.base_url, timeout=SECONDS, limits=limits) as http:

        async def client(attempts: Sequence[Attempt]) -> dict[str, list[httpx.Response]]:
            return {attempt.key: await three_times(http, laurels, attempt) for attempt in attempts}

        found: dict[str, list[httpx.Response]] = {}
        for answers in await asyncio.gather(*map(client, wanted)):
            found |= answers
        return found


async def three_times(http: httpx.AsyncClient, laurels: Laurels, attempt: Attempt) -> list[httpx.Response]:
    """Ask three times at once, once without waiting for the answer; return the two answers."""
    first, _, second = await asyncio.gather(
        until_acknowledged(http, attempt), cut_off(laurels, attempt), until_acknowledged(http, attempt)
    )
    return [first, second]


async def until_acknowledged(http: httpx.AsyncClient, attempt: Attempt) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Idempotency-Key": attempt.key}
    async with asyncio.timeout(SECONDS):
        while True:
            response = await http.post(attempt.path, content=attempt.body, headers=headers)
            if response.status_code == 201:
                return response
            assert response.status_code in {409, 429, 503}, response.text


async def cut_off(laurels: Laurels, attempt: Attempt) -> None:
    """Send the same command and leave at once."""
    port = httpx.URL(laurels.base_url).port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {attempt.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {attempt.key}\r\nContent-Length: {len(attempt.body)}\r\n\r\n"
    )
    writer.write(head.encode() + attempt.body)
    await writer.drain()
    writer.transport.abort()


def test_single_commands_go_between_the_chunks_of_an_import(fresh_laurels: Make) -> None:
    """Nobody waits behind somebody else's import: single commands lie inside its range of positions."""
    laurels = fresh_laurels()
    given_users_and_achievements(laurels)
    with ThreadPoolExecutor(3) as pool:
        before = head(laurels)
        array = pool.submit(import_array, laurels, IMPORTED // 2)
        stream = pool.submit(import_stream, laurels, IMPORTED)
        while head(laurels) < before + 100:
            assert not stream.done(), stream.result()
        singles = list(award_until(laurels, [array, stream]))
        imports = [array.result(), stream.result()]

    for imported in imports:
        assert imported == sorted(imported)
    inside = [position for position in singles if imports[1][0] < position < imports[1][-1]]
    assert singles[0] < imports[1][-1], "the first single command waited for the whole import"
    assert len(inside) >= 5, "single commands waited for the import"
    assert imports[0][0] < imports[1][-1], "one import waited for the other"
    assert imports[1][0] < imports[0][-1], "one import waited for the other"
    assert_gapless(laurels)
    total = len(singles) + sum(map(len, imports))
    assert total == len(fetch(laurels, AWARDS))
    names = Counter({"user-0": len(singles), "user-1": len(imports[0]), "user-2": len(imports[1])})
    assert_reads_agree(laurels, names)


def award_until(laurels: Laurels, imports: Sequence[Future[list[int]]]) -> Iterator[int]:
    """Award user-0 time and again while the imports run; yield the position of each award."""
    with httpx.Client(base_url=laurels.base_url, timeout=SECONDS) as http:
        while not all(running.done() for running in imports):
            response = http.post(
                f"{API}/users/user-0/achievements/",
                json={"achievement_name": "feat-0"},
                headers={"Prefer": "respond-async"},
            )
            assert 201 == response.status_code, response.text
            yield int(response.headers["Event-Position"])


def import_array(laurels: Laurels, count: int) -> list[int]:
    """Post arrays of 10,000 awards of user-1; return the award ids."""
    found: list[int] = []
    for start in range(0, count, 10_000):
        commands = [import_command("user-1", f"array/{start + n}") for n in range(min(10_000, count - start))]
        found += posted(laurels, json.dumps(commands).encode(), "application/json")
    return found


def import_stream(laurels: Laurels, count: int) -> list[int]:
    """Post a stream of awards of user-2; return the award ids."""
    lines = b"".join(json.dumps(import_command("user-2", f"stream/{n}")).encode() + b"\n" for n in range(count))
    return posted(laurels, lines, "application/x-ndjson")


def import_command(username: str, key: str) -> dict[str, str]:
    return {"type": "award-achievement", "username": username, "achievement_name": "feat-1", "idempotency_key": key}


def posted(laurels: Laurels, body: bytes, media_type: str) -> list[int]:
    headers = {"Content-Type": media_type, "Accept": media_type, "Prefer": "respond-async"}
    with httpx.Client(base_url=laurels.base_url, timeout=SECONDS) as http:
        response = http.post(f"{API}/commands", content=body, headers=headers)
    assert 200 == response.status_code, response.text
    results = response.json() if media_type == "application/json" else map(json.loads, response.text.splitlines())
    return [award_id_of(result) for result in results]


def award_id_of(result: Mapping[str, Any]) -> int:
    assert 201 == result["status"], result
    return int(result["body"]["award_id"])


def head(laurels: Laurels) -> int:
    return int(fetch(laurels, "SELECT position FROM log_head")[0]["position"])


def assert_gapless(laurels: Laurels) -> None:
    """Hold the log to its rule: positions 1 to n, every one of them once, and the head says n."""
    row = fetch(laurels, "SELECT count(*), min(position), max(position), count(DISTINCT event_id) AS ids FROM events")[
        0
    ]
    assert [row["count"]] * 3 == [row["max"], row["ids"], head(laurels)]
    assert 1 == row["min"]


def assert_reads_agree(laurels: Laurels, totals: Counter[str]) -> None:
    """Hold the read side to what was acknowledged: the number of awards of every user, and the greatest number."""
    reads_have_everything(laurels)
    counted = fetch(
        laurels,
        "SELECT username, total_achievements FROM generation_1.user_totals JOIN generation_1.users USING (user_id)",
    )
    assert totals == {row["username"]: row["total_achievements"] for row in counted if row["total_achievements"]}
    greatest = laurels.http.get(f"{API}/users/achievements-stats/max-count/").json()
    assert max(totals.values()) == greatest["total_achievements"]
    assert greatest["username"] in {name for name, total in totals.items() if total == greatest["total_achievements"]}


def reads_have_everything(laurels: Laurels) -> None:
    """Wait until reads show the whole log."""
    wanted = head(laurels)
    for _ in range(int(SECONDS) // 10):
        answer = laurels.http.get(
            f"{API}/users/", params={"min_position": wanted, "limit": 1}, headers={"Prefer": "wait=10"}
        )
        if answer.status_code == 200:
            return
    assert 200 == answer.status_code, answer.text
