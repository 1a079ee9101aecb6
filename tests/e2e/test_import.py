"""Real and made-up data through the command line, on both kinds of instance, against a recount of its own."""

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

import httpx
import pytest

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from tests.support.deployments import Laurels, fetch
from tests.support.processes import free_port, run, start
from tests.support.synchronously import synchronously

API = "/api/v1"
SECONDS = 60.0
POINTS = {"1": 100, "2": 50, "3": 10}
SMALL, LARGE = 600, 25_000
BOM = "\ufeff"
DOCTYPE = "<!DOCTYPE rows [<!ELEMENT rows (row*)><!ELEMENT row EMPTY>]>"

NAMES = {
    -1: "Community",
    1: "Ada",
    2: "slash/ed",
    3: "Ёлка & <Tanne>",
    5: "ADA",
    7: "ada",
    8: "community",
    10: "Idle",
    13: "Zoë",
}
USERNAMES = {
    -1: "Community",
    1: "Ada",
    2: "slashed-2",
    3: "Ёлка & <Tanne>",
    5: "ADA-5",
    7: "ada-7",
    8: "community-8",
    10: "Idle",
    13: "Zoë",
    42: "user-42",
}

Make = Callable[..., Laurels]
Settings = Mapping[str, str]


# A dump


def made_dump(folder: Path, badges: int) -> Path:
    """Write a dump with all that real ones surprise with; user 10 has no badge, user 42 is in Badges.xml only."""
    folder.mkdir()
    dice = random.Random(badges)
    write_rows(folder / "Users.xml", [{"Id": str(number), "DisplayName": name} for number, name in NAMES.items()])
    holders = [number for number in USERNAMES if number != 10]
    rows = [random_badge(dice, number, dice.choice(holders)) for number in range(1, badges)]
    # The same badge twice for a user, at the same moment.
    write_rows(folder / "Badges.xml", [*rows, rows[0] | {"Id": str(badges)}])
    return folder


def random_badge(dice: random.Random, number: int, user_id: int) -> dict[str, str]:
    moment = datetime(2024, 2, 1, tzinfo=UTC) + timedelta(
        days=dice.randrange(90), milliseconds=dice.randrange(86_400_000)
    )
    name, kind = dice.choice(
        [("Editor", "3"), ("Nice & <kind>", "2"), ("karate", "1"), ("karate", "2"), ("karate", "3")]
    )
    return {
        "Id": str(number),
        "UserId": str(user_id),
        "Name": name,
        "Date": moment.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "Class": kind,
        "TagBased": str(name == "karate"),
    }


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    lines = [" ".join(f"{name}={quoteattr(value)}" for name, value in row.items()) for row in rows]
    body = "".join(f"  <row {line} />\n" for line in lines)
    path.write_text(
        f'{BOM}<?xml version="1.0" encoding="utf-8"?>\n{DOCTYPE}\n<rows>\n{body}</rows>\n', encoding="utf-8"
    )


# The recount, which shares no code with the importer


@dataclass(frozen=True, slots=True)
class Recount:
    """What the XML says: awards, and by username the number of badges, their points, their last row and their days."""

    badges: int
    counts: Mapping[str, int]
    points: Mapping[str, int]
    last_rows: Mapping[str, int]
    days: Mapping[str, set[date]]


def recounted(folder: Path) -> Recount:
    names = usernames_in(folder)
    counts: Counter[str] = Counter()
    points: Counter[str] = Counter()
    last_rows: dict[str, int] = {}
    days: defaultdict[str, set[date]] = defaultdict(set)
    rows = rows_of(folder / "Badges.xml")
    for number, row in enumerate(rows):
        name = names.get(int(row["UserId"]), f"user-{row['UserId']}")
        counts[name] += 1
        points[name] += POINTS[row["Class"]]
        last_rows[name] = number
        days[name].add(datetime.fromisoformat(row["Date"]).date())
    return Recount(len(rows), counts, points, last_rows, days)


def usernames_in(folder: Path) -> dict[int, str]:
    path = folder / "Users.xml"
    named = {int(row["Id"]): row.get("DisplayName", "") for row in rows_of(path)} if path.exists() else {}
    taken: set[str] = set()
    names: dict[int, str] = {}
    for number in sorted(named):
        name = named[number]
        free = name.casefold() not in taken and "/" not in name
        names[number] = name if free else f"{name.replace('/', '')}-{number}"
        taken.add(name.casefold())
    return names


def rows_of(path: Path) -> list[dict[str, str]]:
    return [dict(row.attrib) for row in ET.parse(path).getroot().iter("row")]  # noqa: S314 - our own file


def runs_of(days: set[date]) -> list[tuple[int, date, date]]:
    """Return every run of consecutive days with its length."""
    found = []
    for first in sorted(day for day in days if day - timedelta(days=1) not in days):
        last = first
        while last + timedelta(days=1) in days:
            last += timedelta(days=1)
        found.append(((last - first).days + 1, first, last))
    return found


# The command line


def settings_of(laurels: Laurels) -> dict[str, str]:
    """Return the settings with which somebody at the command line means this instance."""
    if laurels.postgres is None:
        return {"LAURELS_DATA_DIR": str(laurels.services["up"][0].log.parent / "data")}
    return {"LAURELS_DATABASE_URL": laurels.database_url, "LAURELS_TRANSPORT": laurels.transport}


def filling(laurels: Laurels, *arguments: str) -> list[str]:
    """Return a command that fills this instance; over a database that is named, its address has to be named too."""
    return [*arguments, *(["--url", laurels.base_url] if laurels.postgres else [])]


def command_line(laurels: Laurels, *arguments: str) -> str:
    """Run a command that has to succeed; return what it printed."""
    done = run(["laurels", *arguments], environment=settings_of(laurels))
    assert 0 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def fails(settings: Settings, *arguments: str, expected: int = 1) -> str:
    """Run a command that has to fail; return the one sentence that it says."""
    done = run(["laurels", *arguments], environment=settings)
    assert "Traceback" not in done.stderr, done.stderr
    assert expected == done.returncode, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert 1 == len(lines), done.stderr
    return lines[0]


# The instance


def head(laurels: Laurels) -> int:
    return int(fetch(laurels, "SELECT position FROM log_head")[0]["position"])


def events_by_type(laurels: Laurels) -> dict[str, int]:
    rows = fetch(laurels, "SELECT type, count(*) FROM events GROUP BY type")
    return {row["type"]: row["count"] for row in rows}


def read(laurels: Laurels, path: str) -> Any:  # noqa: ANN401 - JSON is anything
    response = laurels.http.get(API + path)
    assert 200 == response.status_code, response.text
    return response.json()


def pages(laurels: Laurels, path: str) -> Iterator[Any]:
    following = f"{API}{path}"
    while following:
        page = laurels.http.get(following)
        assert 200 == page.status_code, page.text
        yield from page.json()
        following = page.links.get("next", {}).get("url", "")


def reads_have_everything(laurels: Laurels) -> None:
    """Wait until reads show the whole log."""
    deadline = time.monotonic() + SECONDS
    wanted = {"min_position": head(laurels), "limit": 1}
    while True:
        answer = laurels.http.get(f"{API}/users/", params=wanted, headers={"Prefer": "wait=10"})
        if answer.status_code == 200:
            return
        assert time.monotonic() < deadline, answer.text


def assert_equals_recount(laurels: Laurels, folder: Path) -> None:
    """Hold every statistic against the recount of the XML."""
    recount = recounted(folder)
    reads_have_everything(laurels)
    assert recount.badges == events_by_type(laurels)["achievement-awarded"]
    assert_greatest(
        recount, recount.counts, read(laurels, "/users/achievements-stats/max-count/"), "total_achievements"
    )
    assert_greatest(recount, recount.points, read(laurels, "/users/achievements-stats/max-points/"), "total_points")
    assert_differences(recount, read(laurels, "/users/achievements-stats/max-min-difference/"))
    assert_streaks(recount, laurels)


def first_of(recount: Recount, values: Mapping[str, int], value: int) -> str:
    """Return who reached this value first: whose last row comes first."""
    return min((name for name in values if values[name] == value), key=lambda name: recount.last_rows[name])


def assert_greatest(recount: Recount, values: Mapping[str, int], shown: Mapping[str, Any], field: str) -> None:
    greatest = max(values.values())
    expected = {
        "username": first_of(recount, values, greatest),
        field: greatest,
        "tied_users": list(values.values()).count(greatest),
    }
    assert expected == {name: shown[name] for name in expected}


def assert_differences(recount: Recount, shown: Mapping[str, Any]) -> None:
    points = recount.points
    most, least = max(points.values()), min(points.values())
    ordered = sorted(points.values())
    smallest = min(higher - lower for lower, higher in pairwise(ordered))
    assert most - least == shown["max_difference"]
    extremes = shown["users_with_max_difference"]
    assert first_of(recount, points, most) == extremes["max_points_user"]["username"]
    assert first_of(recount, points, least) == extremes["min_points_user"]["username"]
    assert smallest == shown["min_difference"]
    pair = shown["users_with_min_difference"]
    higher, lower = pair["higher_points_user"], pair["lower_points_user"]
    assert smallest == points[higher["username"]] - points[lower["username"]]
    assert higher["username"] != lower["username"]
    for user in (*extremes.values(), *pair.values()):
        assert points[user["username"]] == user["total_points"]


def assert_streaks(recount: Recount, laurels: Laurels) -> None:
    runs = {name: runs_of(days) for name, days in recount.days.items()}
    longest = {name: max(found)[0] for name, found in runs.items() if max(found)[0] >= 3}
    shown = list(pages(laurels, "/users/achievements-stats/streak/?days=3&limit=100"))
    assert longest == {streak["username"]: streak["streak_days"] for streak in shown}
    assert shown == sorted(shown, key=lambda streak: (-streak["streak_days"], streak["user_id"]))
    for streak in shown:
        shown_run = tuple(date.fromisoformat(streak[f"streak_{end}_on"]) for end in ("started", "ended"))
        assert (streak["streak_days"], *shown_run) in runs[streak["username"]]


# The tests


@pytest.fixture(params=["made", *(["given"] if "LAURELS_TEST_DUMP" in os.environ else [])])
def dump(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a dump made here and, if the environment names one, a real one too."""
    if request.param == "given":
        return Path(os.environ["LAURELS_TEST_DUMP"])
    return made_dump(tmp_path / "dump", SMALL)


def test_an_import_equals_a_recount_and_a_second_one_adds_nothing(fresh_laurels: Make, dump: Path) -> None:
    """Every statistic is what the XML says, and importing again leaves the log where it was."""
    laurels = fresh_laurels()

    printed = command_line(laurels, *filling(laurels, "import", "stackexchange", str(dump)))

    assert_equals_recount(laurels, dump)
    assert f"{recounted(dump).badges}" in printed.replace(",", "")
    before = head(laurels)
    command_line(laurels, *filling(laurels, "import", "stackexchange", str(dump)))
    assert before == head(laurels)
    assert_equals_recount(laurels, dump)


def test_names_and_badges_are_what_the_dump_means(fresh_laurels: Make, tmp_path: Path) -> None:
    """The lowest id has a name, others add their id; tag badges carry their class, and all are in English."""
    laurels = fresh_laurels()

    command_line(laurels, *filling(laurels, "import", "stackexchange", str(made_dump(tmp_path / "dump", SMALL))))

    reads_have_everything(laurels)
    assert sorted(USERNAMES.values()) == sorted(user["username"] for user in pages(laurels, "/users/?limit=100"))
    catalogue = {
        found["achievement_name"]: found["achievement_point"]
        for found in pages(laurels, "/users/achievements?limit=100")
    }
    tags = {"karate (gold)": 100, "karate (silver)": 50, "karate (bronze)": 10}
    assert tags | {"Editor": 10, "Nice & <kind>": 50} == catalogue


def test_an_import_that_was_stopped_goes_on(fresh_laurels: Make, tmp_path: Path) -> None:
    """Ctrl-C in the middle loses nothing and leaves no traceback; the next run completes it, and nothing is twice."""
    laurels = fresh_laurels()
    dump = made_dump(tmp_path / "dump", LARGE)
    command = ["laurels", *filling(laurels, "import", "stackexchange", str(dump))]
    importing = start("import", command, environment=settings_of(laurels), folder=tmp_path)
    try:
        while head(laurels) < 3_000:
            assert importing.process.poll() is None, importing.tail()
        importing.process.send_signal(signal.SIGINT)
        code = importing.process.wait(SECONDS)
    finally:
        importing.process.kill()
    stopped_at = head(laurels)

    command_line(laurels, *command[1:])

    assert stopped_at < LARGE, "it was over before it was stopped"
    assert code not in {0, -signal.SIGINT}, importing.tail()
    assert "Traceback" not in importing.tail()
    assert "un it again" in importing.tail()
    assert_equals_recount(laurels, dump)


@pytest.mark.parametrize("broken", ["Badges.xml", "Users.xml"])
def test_a_file_that_is_cut_off_is_one_sentence(fresh_laurels: Make, tmp_path: Path, broken: str) -> None:
    """A truncated file is found before anything is sent, and named."""
    laurels = fresh_laurels()
    dump = made_dump(tmp_path / "dump", SMALL)
    whole = (dump / broken).read_bytes()
    (dump / broken).write_bytes(whole[: len(whole) * 2 // 3])

    assert broken in fails(settings_of(laurels), *filling(laurels, "import", "stackexchange", str(dump)))

    assert 0 == head(laurels)


def test_a_folder_without_a_dump_is_one_sentence(laurels: Laurels, tmp_path: Path) -> None:
    """What is missing is named."""
    assert "Badges.xml" in fails(settings_of(laurels), *filling(laurels, "import", "stackexchange", str(tmp_path)))


def test_the_demo_adds_nothing_twice(fresh_laurels: Make) -> None:
    """A few hundred people in two languages with streaks; loading it again adds only what has happened since."""
    laurels = fresh_laurels()
    began = datetime.now(UTC)

    command_line(laurels, *filling(laurels, "demo"))

    first, position = events_by_type(laurels), head(laurels)
    command_line(laurels, *filling(laurels, "demo"))
    again = fetch(laurels, f"SELECT type, data ->> 'awarded_at' AS at FROM events WHERE position > {position}")  # noqa: S608 - a number
    assert {"achievement-awarded"} >= {row["type"] for row in again}
    assert all(datetime.fromisoformat(row["at"]) >= began for row in again)
    assert first["user-created"] >= 200
    reads_have_everything(laurels)
    assert {"en", "ru"} == {user["user_language"] for user in pages(laurels, "/users/?limit=100")}
    assert read(laurels, "/users/achievements-stats/streak/?days=7")
    assert read(laurels, "/users/achievements-stats/streak/?mode=current&days=3")
    catalogue = list(pages(laurels, "/users/achievements?language=ru&limit=100"))
    assert {"ru"} == {found["achievement_language"] for found in catalogue}


def test_names_that_are_there_already_are_nobodys_trouble(fresh_laurels: Make) -> None:
    """The demo goes on where one of its texts is taken, and what-if tells any two names apart."""
    laurels = fresh_laurels()
    for name, language in (("Марафон", "ru"), ("Марафон", "en"), ("C:\\o/ \u200d", "en"), ("\\", "en")):
        body = {"achievement_name": name, "achievement_description": "", "achievement_language": language}
        assert 201 == laurels.http.post(f"{API}/users/achievements", json=body).status_code

    command_line(laurels, *filling(laurels, "demo"))

    reads_have_everything(laurels)
    assert "0 users would change their place" in command_line(laurels, "what-if", "--points", "C:\\o/ \u200d=50")
    assert "“Марафон”; give an id, as in '#1=50'" in fails(settings_of(laurels), "what-if", "--points", "Марафон=50")
    command_line(laurels, "what-if", "--points", "#1=50")


def test_status_tells_where_everything_stands(laurels: Laurels) -> None:
    """Positions, the lag of every partition and the generation, for people and as JSON, in both deployments."""
    user = {"username": laurels.name(), "user_language": "en"}
    position = int(laurels.http.post(f"{API}/users/", json=user).headers["Event-Position"])
    reads_have_everything(laurels)

    shown = command_line(laurels, "status")
    found = json.loads(command_line(laurels, "status", "--json"))

    assert str(found["generation"]) in shown
    assert found["log_position"] == found["read_position"] >= position
    assert 0 == found["lag"]
    assert list(range(8)) == [part["partition"] for part in found["partitions"]]
    assert {0} == {part["lag"] for part in found["partitions"]}
    assert found["log_position"] == max(part["log_position"] for part in found["partitions"])
    if laurels.transport == "kafka":
        assert found["published_position"] == found["log_position"]
    else:
        assert found["published_position"] is None


def test_status_tells_a_lag(laurels: Laurels) -> None:
    """What is in the log and not yet in the read models is counted."""
    laurels.stop_projection()
    try:
        user = {"username": laurels.name(), "user_language": "en"}
        posted = laurels.http.post(f"{API}/users/", json=user, headers={"Prefer": "respond-async"})
        found = json.loads(command_line(laurels, "status", "--json"))
    finally:
        laurels.resume_projection()

    position = int(posted.headers["Event-Position"])
    assert position <= found["log_position"]
    assert found["lag"] == found["log_position"] - found["read_position"] > 0
    assert any(part["lag"] > 0 for part in found["partitions"])


@pytest.mark.parametrize(
    ("arguments", "expected"), [(["status"], 3), (["status", "--json"], 3), (["demo"], 1), (["export", "-"], 1)]
)
def test_without_an_instance_it_is_one_sentence(tmp_path: Path, arguments: list[str], expected: int) -> None:
    """Nobody is left to guess that nothing runs; `status` has an exit code of its own for that."""
    settings = {"LAURELS_DATA_DIR": str(tmp_path / "data"), "LAURELS_PORT": str(free_port())}
    assert "No Laurels is running" in fails(settings, *arguments, expected=expected)
    assert not (tmp_path / "data").exists()


def test_status_says_that_it_serves(laurels: Laurels) -> None:
    """An instance that serves is told to people and programs, in both deployments."""
    assert "Serving        yes" in command_line(laurels, "status")
    assert json.loads(command_line(laurels, "status", "--json"))["serving"] is True


def test_status_over_a_database_that_nobody_serves(tmp_path: Path) -> None:
    """With LAURELS_DATABASE_URL, a database that answers is not yet a service: exit code 3."""
    server = EmbeddedPostgres(tmp_path / "data")
    url = synchronously(server.start()).url
    try:
        migrate(url)
        done = run(["laurels", "status", "--json"], environment={"LAURELS_DATABASE_URL": url})
    finally:
        synchronously(server.stop())

    assert 3 == done.returncode, done.stderr
    assert json.loads(done.stdout)["serving"] is False
    assert "Nothing serves: no API is connected" in done.stderr


@pytest.mark.parametrize("command", [["demo"], ["import", "stackexchange", "{dump}"]])
def test_a_stranger_on_the_port_is_not_filled(laurels: Laurels, tmp_path: Path, command: list[str]) -> None:
    """With a data folder of nobody, another instance that has the settings' port is refused, and stays as it is."""
    dump = made_dump(tmp_path / "dump", SMALL)
    before = head(laurels)
    settings = {"LAURELS_DATA_DIR": str(tmp_path / "data"), "LAURELS_PORT": str(httpx.URL(laurels.base_url).port)}

    said = fails(settings, *(word.format(dump=dump) for word in command))

    assert "No Laurels is running" in said
    assert "--url" in said
    assert before == head(laurels)


def test_what_took_the_port_of_a_killed_instance_is_not_filled(laurels: Laurels, tmp_path: Path) -> None:
    """The file that a killed instance left names a port; whoever has it now shows another id, and is refused."""
    (tmp_path / "instance.json").write_text(json.dumps({"base_url": laurels.base_url, "instance": "0" * 32}))
    before = head(laurels)

    assert "No Laurels is running" in fails({"LAURELS_DATA_DIR": str(tmp_path)}, "demo")
    assert before == head(laurels)


def test_a_database_url_does_not_name_a_server(tmp_path: Path) -> None:
    """With LAURELS_DATABASE_URL the address of the API is not guessed."""
    settings = {"LAURELS_DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing", "LAURELS_DATA_DIR": str(tmp_path)}

    assert "--url" in fails(settings, "demo")
