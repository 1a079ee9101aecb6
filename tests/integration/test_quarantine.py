"""`laurels quarantine` from outside: what an operator sees of an event that cannot be applied, and does about it."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import httpx

from tests.support.deployments import Laurels, fetch
from tests.support.operators import TABLES, live, told
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


def rows(laurels: Laurels) -> dict[str, list[str]]:
    """Return the rows of every read model that is served, as text."""
    schema = f"generation_{live(laurels)}"
    return {
        table: sorted(row["text"] for row in fetch(laurels, f"SELECT t::text AS text FROM {schema}.{table} AS t"))  # noqa: S608 - our own names
        for table in TABLES
    }


def as_json(laurels: Laurels, *arguments: str) -> dict[str, Any]:
    done = laurels.operate("quarantine", *arguments, "--json")
    assert (0, "") == (done.returncode, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_id_that_is_not_there_is_one_sentence(fresh_laurels: Callable[..., Laurels]) -> None:
    """Each command names the id and ends with 1, or with 2 where it is no number; an empty list is no error."""
    laurels = fresh_laurels()
    given_awards(laurels)
    before = rows(laurels)
    for command in (["show"], ["show", "--json"], ["retry"], ["drop", "--yes"]):
        done = laurels.operate("quarantine", *command, "41")
        assert (1, "") == (done.returncode, done.stdout)
        assert "There is no quarantined record 41." in re.sub(r"\s+", " ", done.stderr)
    assert "Invalid value" in told(2, laurels.operate("quarantine", "retry", "forty-one"))
    assert {"records": [], "next_after": None} == as_json(laurels, "list")
    assert (0, "There are no more. ") == operate(laurels, "list", "--after", "41")
    assert before == rows(laurels)


def test_what_is_quarantined_can_be_read_by_a_program(fresh_laurels: Callable[..., Laurels]) -> None:
    """JSON has the position, the user, the error and the event's bytes, and says that something is missing."""
    laurels = fresh_laurels()
    broken = append_broken(laurels, given_awards(laurels), '{"points": "many"}')
    (record,) = as_json(laurels, "list")["records"]
    shown = as_json(laurels, "show", str(record["quarantine_id"]))

    assert (broken, ada(laurels)["user_id"], False) == tuple(record[n] for n in ("position", "user_id", "applied"))
    assert (live(laurels), "many") == (record["generation"], json.loads(shown["record"])["points"])
    assert record == {name: value for name, value in shown.items() if name != "record"} | {
        "last_offset": shown["last_offset"] if shown["last_offset"] is not None else shown["kafka_offset"]
    }


def test_a_retry_that_fails_again_changes_nothing(fresh_laurels: Callable[..., Laurels]) -> None:
    """Every row of every read model stays as it was, and so does the record, however often it is tried."""
    laurels = fresh_laurels()
    append_broken(laurels, given_awards(laurels), '{"points": "many"}')
    award(laurels, "ada")
    (record,) = quarantined(laurels)
    before = rows(laurels)
    for _ in range(2):
        done = laurels.operate("quarantine", "retry", str(record))
        assert (1, "") == (done.returncode, done.stdout)
        assert "It still cannot be applied" in done.stderr
        assert (before, [record]) == (rows(laurels), quarantined(laurels))
    assert ["(1)"] == before["incomplete_users"]


def test_a_user_is_complete_once_all_is_retried(fresh_laurels: Callable[..., Laurels]) -> None:
    """Of two records of a user the first retry counts its award, and the last one takes the mark away."""
    laurels = fresh_laurels()
    like = given_awards(laurels)
    broken = [append_broken(laurels, like, '{"points": "many"}') for _ in range(2)]
    for position in broken:
        as_owner(laurels, MEND, position, '{"points": 10}')
    first, second = quarantined(laurels)

    assert (0, f"Record {second} is applied. ") == operate(laurels, "retry", str(second))
    eventually(lambda: ada(laurels)["total_points"] == 30, "one of the two counts")
    assert ada(laurels)["incomplete"] is True
    assert (0, f"Record {first} is applied. ") == operate(laurels, "retry", str(first))
    eventually(lambda: ada(laurels)["total_points"] == 40, "both count")
    assert [] == rows(laurels)["incomplete_users"]
    assert_sound(laurels)


def test_a_rebuild_brings_in_what_was_dropped(fresh_laurels: Callable[..., Laurels]) -> None:
    """A drop changes no row; once the event is mended, a rebuild counts it, and the user is complete."""
    laurels = fresh_laurels()
    broken = append_broken(laurels, given_awards(laurels), '{"points": "many"}')
    (record,) = quarantined(laurels)
    before = rows(laurels)
    dropped = operate(laurels, "drop", "--yes", str(record))
    after = rows(laurels)

    as_owner(laurels, MEND, broken, '{"points": 10}')
    told(0, laurels.operate("rebuild"))

    assert (0, f"Record {record} is dropped; its user's statistics stay incomplete until a rebuild. ") == dropped
    assert before == after
    eventually(lambda: ada(laurels)["total_points"] == 30, "the award counts")
    assert "incomplete" not in ada(laurels)
    assert_sound(laurels)
