"""A hundred random moments: what the API answers about the past is what the oracle makes of the log."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.domain.days import today_by_zone
from shared.events.codec import decode
from tests.support import oracle
from tests.support.deployments import Laurels, fetch
from tests.support.histories import ZONES

API = "/api/v1"
MOMENTS = 100
ROUNDS = 12
STATISTICS = {"max-count": oracle.max_count, "max-points": oracle.max_points, "max-min-difference": oracle.difference}
MODES = {"longest": oracle.longest_streaks, "current": oracle.current_streaks}

Answer = dict[str, object] | list[dict[str, object]] | None


def bulk(laurels: Laurels, commands: Sequence[dict[str, object]]) -> list[dict[str, Any]]:
    """Send commands and return their results."""
    response = laurels.http.post(f"{API}/commands", json=commands)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()
    assert {result["status"] for result in results} <= {201, 204}, results
    return results


def live(laurels: Laurels, chance: random.Random) -> None:
    """Let people all over the world earn things, lose them, change their names and move."""
    bulk(
        laurels,
        [
            {
                "type": "define-achievement",
                "achievement_name": f"feat {points}",
                "achievement_description": "",
                "achievement_language": "en",
                "achievement_point": points,
            }
            for points in (0, 5, 10)
        ],
    )
    standing: list[int] = []
    for number in range(ROUNDS):
        zone = ZONES[number % len(ZONES)]
        user = {"username": f"user {number}", "user_language": "en", "user_timezone": zone}
        made = bulk(laurels, [{"type": "create-user", **user}, *awards(chance, number)])
        standing += [result["body"]["award_id"] for result in made[1:]]
        chance.shuffle(standing)
        revoked, standing = standing[:2], standing[2:]
        bulk(laurels, [{"type": "revoke-award", "award_id": award_id} for award_id in revoked])
        changed = {"user_timezone": chance.choice(ZONES), "username": f"once user {number}"}
        renamed = laurels.http.patch(f"{API}/users/user {chance.randint(1, number + 1)}", json=changed)
        assert renamed.status_code in {200, 404}, renamed.text
        moved = laurels.http.patch(f"{API}/users/user 0", json={"user_timezone": chance.choice(ZONES)})
        assert moved.status_code == 200, moved.text


def awards(chance: random.Random, latest: int) -> Iterator[dict[str, object]]:
    """Yield awards of the last days to the first user and to the latest, who have not been renamed yet."""
    for _ in range(6):
        ago = timedelta(days=chance.randrange(12), hours=chance.randrange(24), seconds=5)
        yield {
            "type": "award-achievement",
            "username": f"user {latest}" if chance.random() < 0.5 else "user 0",
            "achievement_name": f"feat {chance.choice((0, 5, 10))}",
            "awarded_at": (datetime.now(UTC) - ago).isoformat(),
        }


def facts_of(laurels: Laurels) -> list[oracle.Fact]:
    """Return what the log says, without asking the API."""
    rows = fetch(laurels, "SELECT *, data::text AS text FROM events ORDER BY position")
    return [
        oracle.Fact(row["position"], decode(row["type"], row["schema_version"], row["text"]), row["recorded_at"])
        for row in rows
    ]


def questions(chance: random.Random, facts: Sequence[oracle.Fact]) -> Iterator[dict[str, str]]:
    """Yield random moments: of what counts, of what was known by position or by time, and of both."""
    first, last = facts[0].recorded_at, facts[-1].recorded_at
    for number in range(MOMENTS):
        as_of = last - timedelta(days=13) * chance.random()
        known = first + (last - first) * chance.random() if chance.random() < 0.7 else chance.choice(facts).recorded_at
        position = chance.randint(0, facts[-1].position)
        known_at = {"known_at": chance.choice([known.isoformat(), str(position)])}
        yield ({"as_of": as_of.isoformat()}, known_at, {"as_of": as_of.isoformat(), **known_at})[number % 3]


def expected(facts: Sequence[oracle.Fact], asked: dict[str, str]) -> Iterator[tuple[str, dict[str, str], Answer]]:
    """Yield each path below the statistics, its parameters, and what the oracle answers."""
    as_of = datetime.fromisoformat(asked["as_of"]) if "as_of" in asked else None
    position, now = known(facts, asked.get("known_at"))
    then = oracle.at(facts, known_at=position, as_of=as_of)
    for name, question in STATISTICS.items():
        for everybody in (False, True):
            parameters = {"include_unawarded": "true"} if everybody else {}
            yield name, parameters, question(then, include_unawarded=everybody)
    today = today_by_zone(as_of or now, ZONES)
    for mode, streaks in MODES.items():
        yield "streak", {"mode": mode, "days": "2"}, plain(streaks(then, 2, today))


def known(facts: Sequence[oracle.Fact], known_at: str | None) -> tuple[int | None, datetime]:
    """Return the last position that was known, and when that was."""
    if known_at is None:
        return None, facts[-1].recorded_at
    if known_at.isdecimal():
        return int(known_at), facts[max(int(known_at) - 1, 0)].recorded_at
    moment = datetime.fromisoformat(known_at)
    return oracle.position_at(facts, moment), moment


def plain(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return rows as JSON has them."""
    return [{name: str(v) if isinstance(v, date) else v for name, v in row.items()} for row in rows]


def test_a_hundred_moments_are_the_oracles(fresh_laurels: Callable[..., Laurels]) -> None:
    """Every statistic, at any moment, as of, as known, and both, is what the log says it was."""
    laurels, chance = fresh_laurels(), random.Random(20260131)
    live(laurels, chance)
    facts = facts_of(laurels)
    wait = {"min_position": str(facts[-1].position)}
    assert laurels.http.get(f"{API}/users", params=wait, headers={"Prefer": "wait=10"}).status_code == 200

    for asked in questions(chance, facts):
        for name, parameters, answer in expected(facts, asked):
            response = laurels.http.get(f"{API}/users/achievements-stats/{name}", params={**asked, **parameters})
            assert response.status_code == (404 if answer is None else 200), response.text
            assert answer is None or answer == response.json(), (name, asked, parameters)
