"""A log that is exported and restored elsewhere: the other instance answers the same, and goes on from there."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import zstandard

from shared.read_models.generations import SERVED, schema_name
from tests.support.deployments import Laurels, fetch
from tests.support.processes import run

API = "/api/v1"
SECONDS = 60
STATISTICS = ("max-count/", "max-points/", "max-min-difference/", "streak/?days=2", "streak/?days=2&mode=current")
ELSEWHERE = {"postgres": {"log.zst": 3, "log.gz": 1, "log.ndjson": 8}, "kafka": {"log.zst": 3}}
"""By transport: the files to write, and the number of partitions where each is restored; the source has 8."""

LOG = "SELECT position, event_id, type, schema_version, user_id, data, recorded_at FROM events ORDER BY position"
HEAD = "SELECT position, recorded_at, catalogue_position, last_user_id, last_achievement_id FROM log_head"
MISPLACED = """
SELECT e.position FROM events e, log_head h
WHERE e.partition <> coalesce(e.user_id, 0) % cardinality(h.partition_positions)
"""
REVOKED = "SELECT (data ->> 'award_id')::int AS id FROM events WHERE data ->> 'reason' IS NOT NULL"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = '{}' ORDER BY 1"
NOT_COMPARED = {"idempotency", "relay_lease"}

Make = Callable[..., Laurels]


# The command line


def laurels_command(laurels: Laurels, *arguments: object) -> tuple[int, str, str]:
    """Run a command for this instance; return its exit code and what it printed to both outputs."""
    settings = {"LAURELS_DATABASE_URL": laurels.database_url}
    if laurels.postgres is None:
        settings = {"LAURELS_DATA_DIR": str(laurels.services["up"][0].log.parent / "data")}
    done = run(["laurels", *map(str, arguments)], environment=settings)
    return done.returncode, done.stdout, done.stderr


def succeeds(laurels: Laurels, *arguments: object) -> str:
    code, printed, errors = laurels_command(laurels, *arguments)
    assert (0, "") == (code, errors)
    return printed


def fails(laurels: Laurels, *arguments: object) -> str:
    """Run a command that has to fail; return the one sentence that it says."""
    code, printed, errors = laurels_command(laurels, *arguments)
    assert (1, "", 1) == (code, printed, len(errors.splitlines())), errors
    return errors.strip()


# What happens at the source


def command(laurels: Laurels, method: str, path: str, body: object = None, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    response = laurels.http.request(method, API + path, json=body, headers=headers)
    assert response.is_success, response.text
    return response


def fill(laurels: Laurels) -> None:
    """Let everything happen that can: names that pass on, texts, once-only awards, revocations, keys."""
    for name, language, zone in (
        ("ada", "en", "Asia/Tokyo"),
        ("lev", "ru", "Europe/Moscow"),
        ("Zoë 𝒵", "en", "UTC"),
        ("idle", "en", "UTC"),
    ):
        body = {"username": name, "user_language": language, "user_timezone": zone}
        command(laurels, "POST", "/users/", body, key=f"user {name}".encode().hex())
    command(laurels, "PATCH", "/users/ada/", {"username": "ada l."})
    command(laurels, "PATCH", "/users/lev/", {"username": "Ada", "user_language": "en"})
    for name, language, point, repeatable in (
        ("First run", "en", 10, True),
        ("Medal", "en", 50, False),
        ("Забег", "ru", 0, True),
    ):
        command(laurels, "POST", "/users/achievements", achievement(name, language, point, repeatable=repeatable))
    for text in ("Первая", "Первая пробежка"):
        body = {"achievement_name": text, "achievement_description": "«5 km»\n"}
        command(laurels, "PUT", "/users/achievements/1/translations/ru", body)
    command(laurels, "POST", "/commands", list(awards()))
    command(laurels, "POST", "/users/ada l./achievements/", {"achievement_id": 2}, key="medal")
    taken_back = command(laurels, "POST", "/users/Ada/achievements/", {"achievement_id": 2}).json()["award_id"]
    command(laurels, "DELETE", f"/users/Ada/achievements/{taken_back}")
    command(laurels, "POST", "/commands", [revocation(taken_back - 2)])


def achievement(name: str, language: str, point: int, *, repeatable: bool) -> dict[str, object]:
    return {
        "achievement_name": name,
        "achievement_description": "",
        "achievement_language": language,
        "achievement_point": point,
        "repeatable": repeatable,
    }


def awards() -> Iterator[dict[str, object]]:
    for number in range(60):
        yield {
            "type": "award-achievement",
            "username": ("ada l.", "Ada", "Zoë 𝒵")[number % 3],
            "achievement_id": (1, 3)[number % 2],
            "awarded_at": f"2026-02-{number // 3 + 1:02}T{number % 24:02}:30:00.25Z",
            "idempotency_key": f"award-{number}",
        }


def revocation(award_id: int) -> dict[str, object]:
    return {"type": "revoke-award", "award_id": award_id, "reason": "A mistake.", "idempotency_key": "revoked"}


# What is compared


def head(laurels: Laurels) -> int:
    return int(fetch(laurels, "SELECT position FROM log_head")[0]["position"])


def read(laurels: Laurels, path: str) -> tuple[int, str, Any]:
    """Read once everything is visible; return status, Read-Position and body."""
    deadline = time.monotonic() + SECONDS
    wanted = {"min_position": head(laurels)}
    while True:
        response = laurels.http.get(API + path, params=wanted, headers={"Prefer": "wait=10"})
        if response.status_code != 503:
            return response.status_code, response.headers["Read-Position"], response.json()
        assert time.monotonic() < deadline, response.text


def answers(laurels: Laurels) -> dict[str, Any]:
    """Return what is answered to every kind of read."""
    users = ("ada l.", "ada", "Zoë 𝒵", "idle")
    statistics = [f"/users/achievements-stats/{name}" for name in STATISTICS]
    paths = [
        *("/users/", "/users/achievements", "/users/achievements?language=ru"),
        *(f"/users/achievements/{number}" for number in (1, 2, 3)),
        *(f"/users/{name}/" for name in users),
        *(f"/users/{name}/achievements/" for name in users),
        *statistics,
        *(f"{path}{'&' if '?' in path else '?'}include_unawarded=true" for path in statistics if "streak" not in path),
    ]
    return {path: read(laurels, path) for path in paths}


def tables(laurels: Laurels, schema: str) -> Mapping[str, list[tuple[Any, ...]]]:
    """Return the rows of every table of a schema, sorted."""
    names = {row["table_name"] for row in fetch(laurels, TABLES.format(schema))} - NOT_COMPARED
    return {
        name: sorted((tuple(row) for row in fetch(laurels, f"SELECT * FROM {schema}.{name}")), key=repr)  # noqa: S608 - our own names
        for name in names
    }


def everything(laurels: Laurels) -> dict[str, Any]:
    """Return all that must be the same elsewhere, once reads show it."""
    (served,) = fetch(laurels, SERVED)
    return {
        "answers": answers(laurels),
        "read models": tables(laurels, schema_name(served["generation"])),
        "write model": tables(laurels, "write_model"),
        "log": [tuple(row) for row in fetch(laurels, LOG)],
        "head": [tuple(row) for row in fetch(laurels, HEAD)],
    }


# The tests


def test_a_restored_instance_is_the_same_and_goes_on(fresh_laurels: Make, tmp_path: Path) -> None:
    """Every read, every table and the log are equal, in another number of partitions, and commands go on from there."""
    source = fresh_laurels()
    fill(source)
    expected = everything(source)
    assert all(table for name, table in expected["write model"].items()), expected["write model"]
    assert {200} == {status for status, _, _ in expected["answers"].values()}, expected["answers"]

    for name, partitions in ELSEWHERE[source.transport].items():
        file = tmp_path / name
        assert f"{head(source)} events are in" in succeeds(source, "export", file)
        target = fresh_laurels(LAURELS_PARTITIONS=str(partitions))

        assert f"{head(source)} events are restored" in succeeds(target, "restore", file)

        found = everything(target)
        for part, value in expected.items():
            assert value == found[part], part
        assert [] == fetch(target, MISPLACED)
        assert "only an empty instance can be filled" in fails(target, "restore", file)
        assert_keys_still_hold(source, target)
        assert_commands_go_on(target)


def assert_keys_still_hold(source: Laurels, target: Laurels) -> None:
    """Repeat what came with a key: nothing is added, and the answers are those of the source."""
    before = head(target)
    for method, path, body, key in (
        ("POST", "/users/", {"username": "idle", "user_language": "en", "user_timezone": "UTC"}, b"user idle".hex()),
        ("POST", "/users/ada l./achievements/", {"achievement_id": 2}, "medal"),
    ):
        expected, found = (command(laurels, method, path, body, key) for laurels in (source, target))
        assert (expected.status_code, expected.json()) == (found.status_code, found.json())
        assert expected.headers["Event-Position"] == found.headers["Event-Position"]
        assert "true" == found.headers["Idempotency-Replayed"]
    (revoked,) = fetch(
        source, "SELECT (data ->> 'award_id')::int AS id FROM events WHERE data ->> 'reason' IS NOT NULL"
    )
    bulk = [*awards(), revocation(revoked["id"])]
    statuses = [
        [result["status"] for result in command(laurels, "POST", "/commands", bulk).json()]
        for laurels in (source, target)
    ]
    assert [201] * 60 + [204] == statuses[0] == statuses[1]
    assert before == head(target)


def assert_commands_go_on(laurels: Laurels) -> None:
    """Names stay taken, once-only awards held and revoked ones revoked; the next event has the next position and id."""
    before = head(laurels)
    refusals = [
        ("POST", "/users/", {"username": "ADA", "user_language": "en"}, 409),
        ("POST", "/users/achievements", achievement("первая ПРОБЕЖКА", "ru", 1, repeatable=True), 409),
        ("POST", "/users/ada l./achievements/", {"achievement_name": "Medal"}, 409),
    ]
    for (revoked,) in fetch(laurels, "SELECT award_id FROM write_model.revocations"):
        (owner,) = fetch(
            laurels,
            f"SELECT username FROM events JOIN write_model.users USING (user_id) WHERE position = {revoked}",  # noqa: S608 - a number
        )
        refusals.append(("DELETE", f"/users/{owner['username']}/achievements/{revoked}", None, 404))
    for method, path, body, status in refusals:
        assert status == laurels.http.request(method, API + path, json=body).status_code, path
    assert before == head(laurels)

    lev = command(laurels, "POST", "/users/", {"username": "Lev", "user_language": "ru"})
    assert (5, str(before + 1)) == (lev.json()["user_id"], lev.headers["Event-Position"])
    medal = command(laurels, "POST", "/users/Ada/achievements/", {"achievement_name": "Medal"})
    assert before + 2 == medal.json()["award_id"]
    first = command(laurels, "POST", "/users/achievements", achievement("Первая", "ru", 1, repeatable=True))
    assert 4 == first.json()["achievement_id"]
    assert (200, str(before + 3)) == read(laurels, "/users/")[:2]


def test_a_file_that_is_not_whole_leaves_nothing(fresh_laurels: Make, tmp_path: Path) -> None:
    """A cut stream, a cut line, no file, no events: one sentence each; the instance stays empty and can be filled."""
    source = fresh_laurels()
    fill(source)
    file = tmp_path / "log.zst"
    succeeds(source, "export", file)
    (tmp_path / "cut.zst").write_bytes(file.read_bytes()[:-3])
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
    (tmp_path / "cut.ndjson").write_bytes(lines[:-100])
    (tmp_path / "empty.ndjson").touch()
    changes = {
        "zone": (b"Asia/Tokyo", b"Nowhere/Land"),
        "language": (b'"en"', b'"zz"'),
        "time": (b'"time":"2', b'"time":"9'),
    }
    for name, change in changes.items():
        (tmp_path / f"{name}.ndjson").write_bytes(lines.replace(*change))
    target = fresh_laurels()

    assert "cut.zst was not restored: it is cut off" in fails(target, "restore", tmp_path / "cut.zst")
    assert f"line {head(source)}: it is not JSON" in fails(target, "restore", tmp_path / "cut.ndjson")
    assert "missing.gz cannot be read" in fails(target, "restore", tmp_path / "missing.gz")
    assert "line 1: 'user_timezone' is refused" in fails(target, "restore", tmp_path / "zone.ndjson")
    assert "en, ru (LAURELS_LANGUAGES)" in fails(target, "restore", tmp_path / "language.ndjson")
    assert "line 1: it was recorded in the future" in fails(target, "restore", tmp_path / "time.ndjson")
    assert "empty.ndjson was not restored: there is no event" in fails(target, "restore", tmp_path / "empty.ndjson")

    assert 0 == head(target)
    assert [] == [*fetch(target, "SELECT FROM events"), *fetch(target, "SELECT FROM write_model.users")]
    succeeds(target, "restore", file)
    assert head(source) == head(target)


def test_an_export_goes_where_it_is_sent(laurels: Laurels, tmp_path: Path) -> None:
    """Standard output has the events and nothing else; a file is replaced only by force."""
    fill_a_little(laurels)
    printed = succeeds(laurels, "export", "-")
    # Texts have line separators of their own, which are no ends of lines.
    lines = printed.removesuffix("\n").split("\n")
    assert list(range(1, head(laurels) + 1)) == [json.loads(line)["position"] for line in lines]

    file = tmp_path / "log.ndjson"
    file.write_text("mine")
    assert "--force" in fails(laurels, "export", file)
    assert "mine" == file.read_text()
    succeeds(laurels, "export", file, "--force")
    assert printed == file.read_text()
    assert [file] == list(tmp_path.iterdir())


def fill_a_little(laurels: Laurels) -> None:
    for _ in range(3):
        command(laurels, "POST", "/users/", {"username": laurels.name(), "user_language": "ru"})
