"""`laurels quarantine` from outside: what an operator sees of an event that cannot be applied, and does about it."""

import re
import time
from collections.abc import Callable, Mapping, Sequence

import asyncpg
import httpx

from tests.support.deployments import Laurels, fetch
from tests.support.synchronously import synchronously

API = "/api/v1"
SECONDS = 60.0

# An event as no command makes it; the log is the operator's to mend, who owns the database.
APPEND = """
WITH h AS (SELECT position + 1 AS position FROM log_head), appended AS (
    INSERT INTO events
    SELECT h.position, gen_random_uuid(), e.partition, e.type, e.schema_version, e.user_id,
           e.data || jsonb_build_object('award_id', h.position) || $2::jsonb, now()
    FROM events e, h WHERE e.position = $1 RETURNING position, partition
), moved AS (
    UPDATE log_head SET position = a.position, partition_positions[a.partition + 1] = a.position FROM appended a
)
SELECT position FROM appended
"""
MEND = "UPDATE events SET data = data || $2::jsonb WHERE position = $1"
QUARANTINED = "SELECT quarantine_id FROM quarantine WHERE NOT applied ORDER BY 1"


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what}: it never came true"
        time.sleep(0.05)


def as_owner(laurels: Laurels, statement: str, *arguments: object) -> object:
    """Run a statement that the log refuses to everybody else."""

    async def run() -> object:
        connection = await asyncpg.connect(laurels.database_url)
        try:
            await connection.execute("SET session_replication_role = replica")
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()

    return synchronously(run())


def posted(laurels: Laurels, path: str, body: Mapping[str, object]) -> httpx.Response:
    answer = laurels.http.post(f"{API}{path}", json=body, headers={"Prefer": "wait=10"})
    assert 201 == answer.status_code, answer.text
    return answer


def position_of(answer: httpx.Response) -> int:
    return int(answer.headers["Event-Position"])


def given_awards(laurels: Laurels) -> int:
    """Let ada have two awards and bob one; return the position of ada's first."""
    define(laurels, "feat")
    for name in ("ada", "bob"):
        posted(laurels, "/users/", {"username": name, "user_language": "en"})
    first, _, _ = (award(laurels, name) for name in ("ada", "ada", "bob"))
    return first


def define(laurels: Laurels, name: str) -> int:
    achievement = {"achievement_name": name, "achievement_description": "", "achievement_language": "en"}
    return position_of(posted(laurels, "/users/achievements", achievement))


def award(laurels: Laurels, username: str) -> int:
    return position_of(posted(laurels, f"/users/{username}/achievements/", {"achievement_name": "feat"}))


def append_broken(laurels: Laurels, like: int, data: str) -> int:
    """Append an event like another, with data that fit no row; return its position, once it is in quarantine."""
    before = len(quarantined(laurels))
    position = as_owner(laurels, APPEND, like, data)
    assert isinstance(position, int)
    eventually(lambda: len(quarantined(laurels)) > before, "the event is in quarantine")
    return position


def quarantined(laurels: Laurels) -> Sequence[int]:
    return [row["quarantine_id"] for row in fetch(laurels, QUARANTINED)]


def operate(laurels: Laurels, *arguments: str) -> tuple[int, str]:
    done = laurels.operate("quarantine", *arguments)
    return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)


def ada(laurels: Laurels) -> dict[str, object]:
    answer: dict[str, object] = laurels.http.get(f"{API}/users/ada/stats/").json()
    return answer


def assert_sound(laurels: Laurels) -> None:
    """Hold every row that is served against the log."""
    done = laurels.operate("verify")
    assert 0 == done.returncode, done.stdout


def test_a_retried_award_counts_as_if_nothing_had_been(fresh_laurels: Callable[..., Laurels]) -> None:
    """It is listed and shown; while the event is broken a retry fails, after that every row is right."""
    laurels = fresh_laurels()
    broken = append_broken(laurels, given_awards(laurels), '{"points": "many"}')
    award(laurels, "ada")
    (record,) = quarantined(laurels)
    seen = ada(laurels)
    listed, shown = operate(laurels, "list"), operate(laurels, "show", str(record))
    early = operate(laurels, "retry", str(record))
    kept = quarantined(laurels)

    as_owner(laurels, MEND, broken, '{"points": 10}')
    late = operate(laurels, "retry", str(record))
    again = operate(laurels, "retry", str(record))

    assert {"incomplete": True, "total_points": 30} == {name: seen[name] for name in ("incomplete", "total_points")}
    assert 0 == listed[0] == shown[0] == late[0]
    assert f" {broken} " in listed[1]
    assert "yes" in listed[1]
    assert "many" in shown[1]
    assert 1 == early[0] == again[0]
    assert "still cannot be applied" in early[1]
    assert [record] == kept
    assert "There is no quarantined record" in again[1]
    eventually(lambda: ada(laurels)["total_points"] == 40, "all four awards count")
    assert "incomplete" not in ada(laurels)
    assert "Nothing is in quarantine." in operate(laurels, "list")[1]
    assert_sound(laurels)


def test_a_retried_achievement_is_there(fresh_laurels: Callable[..., Laurels]) -> None:
    """An event of the catalogue is nobody's: it is applied by itself, and all the awards stay."""
    laurels = fresh_laurels()
    given_awards(laurels)
    like = define(laurels, "other")
    broken = append_broken(laurels, like, '{"achievement_id": 77, "achievement_point": null}')
    (record,) = quarantined(laurels)
    missing = laurels.http.get(f"{API}/users/achievements/77").status_code

    as_owner(laurels, MEND, broken, '{"achievement_point": 5}')
    done = operate(laurels, "retry", str(record))

    assert 404 == missing
    assert 0 == done[0], done[1]
    assert 5 == laurels.http.get(f"{API}/users/achievements/77").json()["achievement_point"]
    assert 20 == ada(laurels)["total_points"]
    assert_sound(laurels)


def test_what_is_dropped_stays_missing(fresh_laurels: Callable[..., Laurels]) -> None:
    """The list comes in pages; a dropped record is gone, and its user's statistics still are incomplete."""
    laurels = fresh_laurels()
    like = given_awards(laurels)
    for _ in range(2):
        append_broken(laurels, like, '{"points": "many"}')
    first, second = quarantined(laurels)
    page, rest = operate(laurels, "list", "--limit", "1"), operate(laurels, "list", "--after", str(first))

    dropped, again = (operate(laurels, "drop", "--yes", str(first)) for _ in range(2))
    shown = operate(laurels, "show", str(first))

    assert f"--after {first}" in page[1]
    assert f"│ {second} │" not in page[1]
    assert f"│ {second} │" in rest[1]
    assert "There are more" not in rest[1]
    assert (0, 1, 1) == (dropped[0], again[0], shown[0])
    assert "There is no quarantined record" in again[1]
    assert [second] == quarantined(laurels)
    assert ada(laurels)["incomplete"] is True
