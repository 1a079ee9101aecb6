"""What tests of an operator's commands share: a history to work on, and how generations are looked at."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

from shared.read_models.generations import schema_name
from shared.read_models.registry import READ_MODELS
from tests.support.deployments import Laurels, fetch

API = "/api/v1"
TABLES = tuple(model.table.name for model in READ_MODELS)
FIRST_DAY = datetime(2025, 3, 1, 12, tzinfo=UTC)


def given_history(laurels: Laurels, *, users: int, awards: int) -> list[str]:
    """Record users, three achievements and awards over forty days, some revoked and renamed; return the usernames."""
    names = [f"user-{n}" for n in range(users)]
    sent(laurels, [{"type": "create-user", "username": name, "user_language": "en"} for name in names])
    sent(laurels, [defined(f"feat-{n}", 10**n) for n in range(3)])
    given = sent(
        laurels,
        [
            {
                "type": "award-achievement",
                "username": names[n * n % users],
                "achievement_name": f"feat-{n % 3}",
                "awarded_at": (FIRST_DAY + timedelta(days=n * 7 % 40, seconds=n)).isoformat(),
            }
            for n in range(awards)
        ],
    )
    sent(laurels, [{"type": "revoke-award", "award_id": award["award_id"]} for award in given[:: max(1, awards // 50)]])
    sent(laurels, [{"type": "change-user", "username": names[n], "user_timezone": "Asia/Tokyo"} for n in range(5)])
    return names


def defined(name: str, points: int) -> dict[str, object]:
    return {
        "type": "define-achievement",
        "achievement_name": name,
        "achievement_description": "",
        "achievement_language": "en",
        "achievement_point": points,
    }


def sent(laurels: Laurels, commands: Sequence[object]) -> list[dict[str, Any]]:
    """Send commands in bulk, have all of them accepted and shown by reads; return what they came to."""
    response = laurels.http.post(f"{API}/commands", json=commands)
    results = response.json()
    assert {200, 201, 204} >= {result["status"] for result in results}, results[:3]
    reached = laurels.http.get(
        f"{API}/users/", params={"min_position": response.headers["Event-Position"]}, headers={"Prefer": "wait=10"}
    )
    assert 200 == reached.status_code, reached.text
    return [result.get("body") for result in results]


def told(expected: int, done: CompletedProcess[str]) -> str:
    """Return what a command printed, after holding it to its exit code and to sentences instead of tracebacks."""
    printed = done.stdout + done.stderr
    assert expected == done.returncode, printed
    assert "Traceback" not in printed
    return printed


def live(laurels: Laurels) -> int:
    return int(fetch(laurels, "SELECT generation FROM generations WHERE state = 'live'")[0]["generation"])


def generations(laurels: Laurels) -> dict[int, str]:
    """Return the state of every generation, after seeing that exactly these have a schema."""
    found = {row["generation"]: row["state"] for row in fetch(laurels, "SELECT generation, state FROM generations")}
    schemas = fetch(laurels, r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'generation\_%'")
    assert {schema_name(number) for number in found} == {row["nspname"] for row in schemas}
    return found


def unequal_rows(laurels: Laurels, one: int, other: int) -> dict[str, int]:
    """Count, by table, the rows that only one of two generations has."""
    found = {}
    for table in TABLES:
        ours, theirs = (f"SELECT t::text FROM {schema_name(number)}.{table} t" for number in (one, other))  # noqa: S608
        counted = fetch(
            laurels,
            f"SELECT count(*) FROM (({ours} EXCEPT ALL {theirs}) UNION ALL ({theirs} EXCEPT ALL {ours})) AS d",  # noqa: S608
        )
        found[table] = counted[0]["count"]
    return {table: count for table, count in found.items() if count}
