"""What operators do around a rebuild: watch it over HTTP, try it dry, verify, heal one projection, ask what if."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from projector.generations.rebuild import rebuildable, turn
from projector.generations.verification import verify
from shared.read_models.generations import schema_name
from tests.contract.helpers import assert_problem
from tests.support.clients import every_read
from tests.support.deployments import Laurels, embedded, fetch
from tests.support.operators import defined, generations, given_history, live, sent, told
from tests.support.processes import Service, free_port, run, start
from tests.support.rebuild import unequal_rows
from tests.support.synchronously import synchronously

SECONDS = 30.0
ADMIN = "/admin/rebuilds"
OPERATOR, PRODUCER = "operator-0123456789", "producer-0123456789"
Make = Callable[..., Laurels]

AWARDS = (
    ("ann", "Run", "2025-06-01T22:30:00Z"),
    ("ann", "Run", "2025-06-01T22:31:00Z"),
    ("ann", "Run", "2025-06-02T22:30:00Z"),
    ("ann", "Run", "2025-06-04T00:30:00Z"),
    ("bob", "Swim", "2025-06-01T12:00:00Z"),
    ("cyd", "Run", "2025-06-01T12:00:00Z"),
)
"""Ann leads with 40 points before bob with 30 and cyd with 10; in UTC her longest streak is 2 days, in Moscow 3."""


@dataclass(frozen=True, slots=True)
class Tampering:
    """A statement that makes a row of a projection wrong, and what is told of it: table, rows that differ, the row."""

    statement: str
    table: str
    rows: int
    example: str


TAMPERINGS = {
    "users": Tampering("UPDATE {g}.users SET user_language = 'ru' WHERE user_id = 3", "users", 2, "(3,cyd,cyd,ru,"),
    "achievements": Tampering(
        "UPDATE {g}.achievements SET achievement_point = 11 WHERE achievement_id = 2",
        "achievements",
        2,
        "unexpected: (2,en,11,",
    ),
    "texts": Tampering(
        "DELETE FROM {g}.achievement_texts WHERE achievement_id = 2", "achievement_texts", 1, "missing: (2,en,Swim,"
    ),
    "user_awards": Tampering("DELETE FROM {g}.user_awards WHERE user_id = 3", "user_awards", 1, "missing: (3,"),
    "totals": Tampering(
        "UPDATE {g}.user_totals SET total_points = 17 WHERE user_id = 3", "user_totals", 2, "unexpected: (3,1,17,"
    ),
    "streaks": Tampering(
        "UPDATE {g}.user_streaks SET streak_days = 365 WHERE user_id = 3", "user_streaks", 2, ",365,2025-06-01,"
    ),
    "count_levels": Tampering(
        "UPDATE {g}.count_levels SET users = 7 WHERE total_achievements = 1", "count_levels", 2, "unexpected: (1,7)"
    ),
    "points_levels": Tampering(
        "UPDATE {g}.points_levels SET gap_below = 21 WHERE total_points = 30",
        "points_levels",
        2,
        "unexpected: (30,1,21)",
    ),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laurels]:
    """Run an embedded instance with AWARDS, for tests that leave it as they found it."""
    with embedded(tmp_path_factory.mktemp("operators"), {}) as laurels:
        sent(
            laurels,
            [{"type": "create-user", "username": name, "user_language": "en"} for name in ("ann", "bob", "cyd")],
        )
        sent(laurels, [defined("Run", 10), defined("Swim", 30)])
        sent(
            laurels,
            [
                {"type": "award-achievement", "username": user, "achievement_name": name, "awarded_at": moment}
                for user, name, moment in AWARDS
            ],
        )
        yield laurels


def operators_side(laurels: Laurels) -> str:
    """Return where an instance serves its operators."""
    return (laurels.services.get("projector") or laurels.services["up"])[0].url


@contextmanager
def locked(laurels: Laurels, table: str) -> Iterator[None]:
    """Keep everybody from a table, so that a rebuild stops where it reads it."""

    async def lock() -> "asyncpg.Connection[asyncpg.Record]":
        connection = await asyncpg.connect(laurels.database_url)
        await connection.execute("BEGIN")
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        return connection

    connection = synchronously(lock())
    try:
        yield
    finally:
        synchronously(connection.close())


def until(laurels: Laurels, rebuild_id: int, state: str) -> dict[str, object]:
    """Poll a rebuild until it is in a state; return what is told of it."""
    deadline = time.monotonic() + SECONDS
    while True:
        shown: dict[str, object] = httpx.get(f"{operators_side(laurels)}{ADMIN}/{rebuild_id}", timeout=SECONDS).json()
        if shown.get("state") == state:
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)


def test_a_rebuild_over_http_is_watched_and_shuts_others_out(fresh_laurels: Make) -> None:
    """It is accepted with an address that tells its progress, and a second one is refused wherever it is asked for."""
    laurels = fresh_laurels()
    given_history(laurels, users=20, awards=200)
    with httpx.Client(base_url=operators_side(laurels), timeout=SECONDS) as http:
        with locked(laurels, "events"):
            begun = http.post(ADMIN)
            assert 202 == begun.status_code, begun.text
            rebuild_id = begun.json()["rebuild_id"]
            options = {name: begun.json()[name] for name in ("transport", "projection", "keep", "dry_run")}
            assert {"transport": "log", "projection": None, "keep": 1, "dry_run": False} == options
            assert f"{ADMIN}/{rebuild_id}" == begun.headers["Location"]
            assert ("running", "load") == (begun.json()["state"], begun.json()["phase"])
            assert "running" == http.get(begun.headers["Location"]).json()["state"]

            assert_problem(http.post(ADMIN, json={}), 409, "rebuild-running")
            assert "Another rebuild is running" in told(1, laurels.operate("rebuild"))
            assert "Another rebuild is running" in told(1, laurels.operate("rollback"))
            assert "Another rebuild is running" in told(1, laurels.operate("what-if", "--timezone", "Asia/Tokyo"))
        done = until(laurels, rebuild_id, "switched")

        assert (done["target"], None) == (done["position"], done["error"])
        assert [done] == http.get(ADMIN).json()
        assert live(laurels) == done["generation"] == 2
        refused = [
            http.get(f"{ADMIN}/{rebuild_id + 1}"),
            http.get(f"{ADMIN}/{rebuild_id}?verbose=1"),
            http.post(ADMIN, json={"keep": -1}),
            http.post(ADMIN, json={"transport": "pigeons"}),
            http.post(ADMIN, json={"projection": "nothing"}),
            http.post(ADMIN, json={"when": "now"}),
        ]
        for status, response in zip([404, 400, 400, 400, 400, 400], refused, strict=True):
            assert_problem(response, status)
    assert_only_operators_reach_it(laurels)
    assert_a_running_rebuild_keeps_the_command_line_out(laurels)
    assert_an_interrupted_one_says_so(laurels)


def assert_only_operators_reach_it(laurels: Laurels) -> None:
    """See that it is on no API, open to no gateway, proxy or browser, and asks for its tokens where there are some."""
    served_by = operators_side(laurels)
    for gateway in laurels.services.get("gateway", []):
        assert_problem(httpx.get(gateway.url + ADMIN), 403)
        assert_problem(httpx.post(gateway.url + ADMIN, json={}), 403)
    for name in ("command_api", "query_api"):
        for service in laurels.services.get(name, []):
            assert_problem(httpx.get(service.url + ADMIN), 404)
            assert httpx.post(service.url + ADMIN, json={}).status_code in {404, 405}
    assert_problem(httpx.get(served_by + ADMIN, headers={"X-Forwarded-For": "127.0.0.1"}), 403)
    assert_problem(httpx.post(served_by + ADMIN, json={}, headers={"Origin": served_by}), 403)
    with another_projector(laurels, LAURELS_ADMIN_TOKENS=OPERATOR, LAURELS_WRITE_TOKENS=PRODUCER) as projector:
        address = projector.url + ADMIN
        right = {"Authorization": f"Bearer {OPERATOR}"}
        for wrong in ({}, {"Authorization": f"Bearer {PRODUCER}"}, {"Authorization": OPERATOR}):
            assert_problem(httpx.get(address, headers=wrong), 401)
            assert_problem(httpx.post(address, json={}, headers=wrong), 401)
        assert 200 == httpx.get(address, headers=right | {"X-Forwarded-For": "203.0.113.9"}).status_code
        begun = httpx.post(address, json={"dry_run": True}, headers=right, timeout=SECONDS)
        assert 202 == begun.status_code, begun.text
        until(laurels, begun.json()["rebuild_id"], "compared")


@contextmanager
def another_projector(laurels: Laurels, **settings: str) -> Iterator[Service]:
    """Run one more projector over an instance's database, with settings of its own."""
    (folder,) = {service.log.parent for services in laurels.services.values() for service in services}
    environment = {**laurels.environment, "LAURELS_DATABASE_URL": laurels.database_url, **settings}
    service = start("another", ["python", "-m", "projector"], environment=environment, folder=folder, port=free_port())
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


def assert_a_running_rebuild_keeps_the_command_line_out(laurels: Laurels) -> None:
    """See that a rebuild from the command line is seen over HTTP, and shuts out one that is asked for there."""
    folder = next(iter(laurels.services.values()))[0].log.parent
    with locked(laurels, "events"):
        first = start("first", ["laurels", "rebuild"], environment=laurels.environment, folder=folder)
        shown = until(laurels, latest(laurels) + 1, "running")
        assert_problem(httpx.post(operators_side(laurels) + ADMIN, json={}, timeout=SECONDS), 409, "rebuild-running")
    assert 0 == first.process.wait(SECONDS), first.tail()
    assert shown["generation"] == live(laurels)


def latest(laurels: Laurels) -> int:
    return int(fetch(laurels, "SELECT coalesce(max(rebuild_id), 0) AS latest FROM rebuilds")[0]["latest"])


def assert_an_interrupted_one_says_so(laurels: Laurels) -> None:
    """See that what was killed is not told to be running, not even while a rollback or a what-if is."""
    command = ["python", "-m", "tests.support.killed", "in the indexes", "rebuild"]
    assert -9 == run(command, environment=laurels.environment).returncode
    shown = until(laurels, latest(laurels), "interrupted")

    async def shown_meanwhile() -> dict[str, object]:
        async with turn(laurels.database_url), httpx.AsyncClient() as http:
            return dict((await http.get(f"{operators_side(laurels)}{ADMIN}/{latest_id}")).json())

    latest_id = latest(laurels)
    assert ("index", shown) == (shown["phase"], synchronously(shown_meanwhile()))
    refused = httpx.post(operators_side(laurels) + ADMIN, json={"dry_run": True}, timeout=SECONDS)
    assert "--drop" in assert_problem(refused, 409, "rebuild-refused")["detail"]


@pytest.mark.xdist_group("embedded")
def test_a_dry_run_changes_nothing(small: Laurels) -> None:
    """It builds a generation, compares it and the live one with the log, and then everything is as it was."""
    before, answers = generations(small), answers_of(small)

    printed = told(0, small.operate("rebuild", "--dry-run"))

    assert "It was a dry run" in printed
    assert 2 == printed.count("are what the log says"), "both generations were compared"
    assert before == generations(small)
    assert answers == answers_of(small)


@pytest.mark.xdist_group("embedded")
@pytest.mark.parametrize("projection", sorted(TAMPERINGS))
def test_a_wrong_row_is_found_and_healed_by_its_projection_alone(small: Laurels, projection: str) -> None:
    """`verify` names table and row and the gauge counts; a rebuild of the one projection equals one of everything."""
    tampering = TAMPERINGS[projection]
    fetch(small, tampering.statement.format(g=schema_name(live(small))))

    printed = told(1, small.operate("verify"))

    assert f"{tampering.table}: {tampering.rows:,} differ" in printed
    assert tampering.example in printed
    assert 1 == len(re.findall("differ, the first", printed)), "only this table differs"
    assert tampering.rows == drift(small)

    told(0, small.operate("rebuild", "--projection", projection))

    (log,) = fetch(small, "SELECT position FROM log_head")
    shown = until(small, latest(small), "switched")
    assert (projection, log["position"]) == (shown["projection"], shown["position"])
    assert 0 == synchronously(verify(small.database_url, live(small))).drift
    assert 0 == drift(small)
    assert {} == synchronously(unequal_rows(small.database_url))


def test_every_projection_is_tampered_with() -> None:
    """No projection that can be rebuilt is left out above."""
    assert set(rebuildable()) == set(TAMPERINGS)


def drift(laurels: Laurels) -> int:
    """Return what the metrics tell of the last verification."""
    metrics = laurels.http.get(laurels.where("/metrics")).text
    (found,) = re.findall(r"^laurels_drift_rows (\S+)$", metrics, re.MULTILINE)
    return int(float(found))


def answers_of(laurels: Laurels) -> dict[str, Any]:
    return {read.path: laurels.http.get(read.path).json() for read in every_read("ann", 1)}


@pytest.mark.xdist_group("embedded")
def test_other_points_change_who_leads(small: Laurels) -> None:
    """With 100 points for a swim bob passes ann; cyd stays third; nothing that is served changes."""
    before, answers = generations(small), answers_of(small)

    printed = told(0, small.operate("what-if", "--points", "swim=100"))

    assert "bob would lead with 100 points, instead of ann with 40." in printed
    assert "2 users would change their place." in printed
    assert re.search(r"bob\W+2\W+1\W+30\W+100\W", printed), printed
    assert re.search(r"ann\W+1\W+2\W+40\W+40\W", printed), printed
    assert re.search(r"cyd\W+3\W+3\W+10\W+10\W", printed), printed
    assert "0 users would have another longest streak." in printed
    assert before == generations(small)
    assert answers == answers_of(small)


@pytest.mark.xdist_group("embedded")
def test_another_time_zone_changes_a_streak(small: Laurels) -> None:
    """What ann earned late in the evening in UTC belongs to the next day in Moscow, and makes three days in a row."""
    before = generations(small)

    printed = told(0, small.operate("what-if", "--timezone", "Europe/Moscow"))

    assert "ann would lead with 40 points." in printed
    assert "0 users would change their place." in printed
    assert "1 users would have another longest streak." in printed
    assert re.search(r"ann\W+2\W+3\W", printed), printed
    assert before == generations(small)


@pytest.mark.xdist_group("embedded")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Say what would be otherwise"),
        (("--points", "Fly=5"), "No achievement is called “Fly”."),
        (("--points", "Run=-1"), "--points has to be like 'First run=50'"),
        (("--timezone", "Mars/Olympus"), "The time zone is not an IANA name"),
    ],
)
def test_a_question_without_sense_is_refused(small: Laurels, options: tuple[str, ...], sentence: str) -> None:
    """One sentence says what is wrong with it, and no generation is left."""
    before = generations(small)

    assert sentence in told(1, small.operate("what-if", *options))

    assert before == generations(small)


@pytest.mark.xdist_group("embedded")
def test_a_rebuild_from_kafka_where_there_is_none_is_one_sentence(small: Laurels) -> None:
    """A broker that does not answer ends a rebuild with a sentence; what it began can be dropped."""
    before = generations(small)
    environment = {**small.environment, "LAURELS_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}

    refused = run(["laurels", "rebuild", "--transport", "kafka"], environment=environment)

    assert "Kafka cannot be read" in told(1, refused)
    told(0, small.operate("rebuild", "--drop", "--yes"))
    assert before == generations(small)


@pytest.mark.xdist_group("embedded")
def test_a_rebuild_over_http_tells_why_it_failed(small: Laurels) -> None:
    """It is shown as failed with one sentence, also once it was dropped, until another goes on with it."""
    before = generations(small)
    with another_projector(small, LAURELS_KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}") as projector:
        begun = httpx.post(projector.url + ADMIN, json={"transport": "kafka"}, timeout=SECONDS)
        assert 202 == begun.status_code, begun.text
        failed = until(small, begun.json()["rebuild_id"], "failed")

    assert re.fullmatch(r"Kafka cannot be read at 127\.0\.0\.1:\d+: \w+\.", str(failed["error"]))
    assert ("kafka", None) == (failed["transport"], failed["finished_at"])
    told(0, small.operate("rebuild", "--drop", "--yes"))
    assert failed["error"] == until(small, latest(small), "dropped")["error"]
    assert before == generations(small)


@pytest.mark.xdist_group("embedded")
def test_a_dry_run_over_http_tells_what_differs(small: Laurels) -> None:
    """What it finds wrong with the live generation is told with it."""
    tampering = TAMPERINGS["totals"]
    fetch(small, tampering.statement.format(g=schema_name(live(small))))

    begun = httpx.post(operators_side(small) + ADMIN, json={"dry_run": True}, timeout=SECONDS)
    shown = until(small, begun.json()["rebuild_id"], "compared")

    assert "2 rows of the live generation are not what the log says: user_totals." == shown["error"]
    told(0, small.operate("rebuild", "--projection", "totals"))


@pytest.mark.xdist_group("embedded")
def test_a_way_back_is_named_only_where_there_is_one(small: Laurels) -> None:
    """After `rebuild` a rollback is offered, after `rebuild --keep 0` it is not."""
    assert "`laurels rollback` goes back" in told(0, small.operate("rebuild"))
    assert "rollback" not in told(0, small.operate("rebuild", "--keep", "0", "--yes"))
    assert {live(small): "live"} == generations(small)
