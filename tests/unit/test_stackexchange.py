"""The Stack Exchange importer and the demo: what they read, what they name things, what they would send."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.client import Laurels, Patience, Result, ServerError, _Retry, batched, retry_after
from cli.demo import ACHIEVEMENTS, USERS, demo_commands
from cli.progress import Stage
from cli.stackexchange.dump import Badge, DumpError, Row, read_badge, read_rows
from cli.stackexchange.mapping import Dump, Step, award_steps, user_steps
from cli.stackexchange.sending import check_dump, site_of, was_there
from cli.stackexchange.usernames import allocate_usernames
from shared.domain.days import local_day, longest_run, runs, zone
from shared.domain.names import username

BADGE = {"Id": "1", "UserId": "7", "Name": "Editor", "Date": "2012-01-31T20:57:26.347", "Class": "3"}
BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


def badge(**changed: str) -> Badge:
    """Read a good badge with some attributes changed."""
    return read_badge(Row("Badges.xml", 5, BADGE | changed))


def xml(*rows: dict[str, str]) -> str:
    """Write rows as the dumps do."""
    lines = [" ".join(f'{name}="{value}"' for name, value in row.items()) for row in rows]
    return (
        "<?xml version='1.0' encoding='utf-8'?>\n<rows>\n" + "".join(f"<row {line} />\n" for line in lines) + "</rows>"
    )


def dump_in(folder: Path, *, badges: list[dict[str, str]], users: list[dict[str, str]] | None = None) -> Path:
    """Write a dump and return its folder."""
    (folder / "Badges.xml").write_text(xml(*badges), encoding="utf-8")
    if users is not None:
        (folder / "Users.xml").write_text(xml(*users), encoding="utf-8")
    return folder


def commands_of(dump: Dump) -> list[dict[str, object]]:
    """Return everything the importer would send, in order."""
    awards = award_steps(map(read_badge, read_rows(dump.folder / "Badges.xml")), dump)
    return [dict(step.command) for steps in (user_steps(dump), dump.catalogue.steps(), awards) for step in steps]


def complaint(work: Callable[[], object]) -> str:
    """Return the sentence with which the work fails."""
    with pytest.raises(DumpError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize(
    ("displayed", "expected"),
    [
        ({5: "Bob", 7: "bob", 2: "BOB"}, {5: "Bob-5", 7: "bob-7", 2: "BOB"}),
        ({-1: "Community", 1: "Community"}, {-1: "Community", 1: "Community-1"}),
        ({1: "Bob", 7: "Bob", 9: "Bob-7"}, {1: "Bob", 7: "Bob-7-2", 9: "Bob-7"}),
        ({1: "Community-", -1: "Community", 3: "community"}, {1: "Community-", -1: "Community", 3: "community-3"}),
        ({1: "a/b\\c", 2: "", 3: "//", 4: "Achievements"}, {1: "abc-1", 2: "user-2", 3: "user-3", 4: "Achievements-4"}),
        ({12: "x" * 65}, {12: "x" * 61 + "-12"}),
        ({1: "y" * 64, 12: "Y" * 64}, {1: "y" * 64, 12: "Y" * 61 + "-12"}),
        ({1: "zero\u200bwidth  / space", 2: "\uff0f"}, {1: "zerowidth space-1", 2: "user-2"}),
        ({1: " Ada  Lovelace "}, {1: "Ada Lovelace"}),
    ],
)
def test_every_user_has_a_name(displayed: dict[int, str], expected: dict[int, str]) -> None:
    """The lowest id has the name; the others, and names that are not allowed, carry the id."""
    allocated = allocate_usernames(displayed)
    assert expected == allocated
    assert list(displayed) == list(allocated)


def test_a_user_the_dump_does_not_name_is_called_by_the_id() -> None:
    """Strangers come last and yield to whoever displays such a name."""
    expected = {4: "user-9", 1: "Ada", 8: "user-8", 9: "user-9-2"}
    assert expected == allocate_usernames({4: "user-9", 1: "Ada"}, [9, 8, 1])


NAMES = st.sampled_from(
    ["Bob", "bob", "Bob-7", "Bob-1", "Bob-7-2", "Bob-", "user-3", "user", "user-3-2", "a/b", "", "."]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(st.dictionaries(st.integers(-20, 20), NAMES | TEXTS, max_size=20), st.lists(st.integers(-20, 20), max_size=20))
@example({1: "Bob-", -1: "Bob", 2: "Bob-", 3: "bob", -2: "bob-"}, [])
@example({1: "l\u00b7l" * 22, 2: "a\u00b7b", 3: "\ufdfa" * 20}, [])
def test_no_two_users_share_a_name(displayed: dict[int, str], strangers: list[int]) -> None:
    """Whatever the users call themselves, each gets one valid name, and all of them differ for the server."""
    allocated = allocate_usernames(displayed, strangers)
    assert set(allocated) == set(displayed) | set(strangers)
    assert [username(name).display for name in allocated.values()] == list(allocated.values())
    assert len({username(name).key for name in allocated.values()}) == len(allocated)


def test_a_dump_becomes_commands(tmp_path: Path) -> None:
    """Users come first, then achievements, then one award for each badge."""
    badges = [BADGE, BADGE | {"Id": "2", "UserId": "8", "Name": "karate", "Class": "1", "TagBased": "True"}]
    folder = dump_in(
        tmp_path, badges=badges, users=[{"Id": "9", "DisplayName": "Zoë"}, {"Id": "7", "DisplayName": "Al"}]
    )
    dump = check_dump(folder, site="martial")
    assert [
        {"type": "create-user", "username": name, "user_language": "en", "idempotency_key": f"martial/user/{user_id}"}
        for user_id, name in [(9, "Zoë"), (7, "Al"), (8, "user-8")]
    ] == commands_of(dump)[:3]
    assert [
        {
            "type": "define-achievement",
            "achievement_name": name,
            "achievement_description": "",
            "achievement_language": "en",
            "achievement_point": points,
        }
        for name, points in [("Editor", 10), ("karate (gold)", 100)]
    ] == commands_of(dump)[3:5]
    assert [
        {
            "type": "award-achievement",
            "username": name,
            "achievement_name": achievement,
            "awarded_at": "2012-01-31T20:57:26.347000Z",
            "idempotency_key": f"martial/badge/{number}",
        }
        for number, name, achievement in [(1, "Al", "Editor"), (2, "user-8", "karate (gold)")]
    ] == commands_of(dump)[5:]


def test_a_dump_without_users_is_enough(tmp_path: Path) -> None:
    """Without Users.xml every holder of a badge is called by the id."""
    dump = check_dump(dump_in(tmp_path, badges=[BADGE, BADGE | {"Id": "2", "UserId": "-1"}]))
    assert {-1: "user--1", 7: "user-7"} == dump.usernames
    assert ["Badges.xml, UserId -1", "Badges.xml, UserId 7"] == [step.origin for step in user_steps(dump)]
    assert 2 == dump.badges


def test_a_step_knows_its_row(tmp_path: Path) -> None:
    """Whatever the server refuses can be traced to a row of the dump."""
    users = [{"Id": "7", "DisplayName": "Al"}]
    dump = check_dump(dump_in(tmp_path, badges=[BADGE], users=users))
    origins = [step.origin for steps in (user_steps(dump), dump.catalogue.steps()) for step in steps]
    assert ["Users.xml, row 1 (Id 7)", "Badges.xml, row 1 (Id 1)"] == origins


def test_a_badge_of_two_classes_is_two_achievements(tmp_path: Path) -> None:
    """The class first met keeps the name, so that points are right for both; case alone makes no difference."""
    said = [
        ("Editor", "3", "False"),
        ("editor", "3", "False"),
        ("Editor", "1", "False"),
        ("Editor (gold)", "2", "False"),
    ]
    said += [("Editor", "1", "True"), ("Editor", "2", "True")]
    rows = [
        BADGE | {"Id": str(number), "Name": name, "Class": medal, "TagBased": tag}
        for number, (name, medal, tag) in enumerate(said)
    ]
    commands = commands_of(check_dump(dump_in(tmp_path, badges=rows)))
    points = {c["achievement_name"]: c["achievement_point"] for c in commands if c["type"] == "define-achievement"}
    awarded = [c["achievement_name"] for c in commands if c["type"] == "award-achievement"]
    assert {"Editor": 10, "Editor (gold)": 100, "Editor (gold) (silver)": 50, "Editor (silver)": 50} == points
    assert [10, 10, 100, 50, 100, 50] == [points[name] for name in awarded]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Date": "2012-01-31T20:57:26.347"}, datetime(2012, 1, 31, 20, 57, 26, 347_000, UTC)),
        ({"Date": "2012-01-31T20:57:26"}, datetime(2012, 1, 31, 20, 57, 26, 0, UTC)),
        ({"Date": "2012-01-31T20:57:26+02:00"}, datetime(2012, 1, 31, 18, 57, 26, 0, UTC)),
    ],
)
def test_a_date_without_an_offset_is_in_utc(changed: dict[str, str], expected: datetime) -> None:
    """The dumps mean UTC, and an offset is honoured where there is one."""
    assert expected == badge(**changed).awarded_at


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"Id": "one"}, "Badges.xml, row 5: Id is not a whole number."),
        ({"Id": "9" * 30}, "Badges.xml, row 5: Id is not a whole number."),
        ({"UserId": ""}, "Badges.xml, row 5 (Id 1): UserId is not a whole number."),
        ({"Name": " "}, "Badges.xml, row 5 (Id 1): Name is missing."),
        ({"Class": "4"}, "Badges.xml, row 5 (Id 1): Class is not 1, 2 or 3."),
        ({"TagBased": "maybe"}, "Badges.xml, row 5 (Id 1): TagBased is not True or False."),
        ({"Date": "31.01.2012"}, "Badges.xml, row 5 (Id 1): Date is not a date and time."),
        ({"Date": "2012-02-30T00:00:00"}, "Badges.xml, row 5 (Id 1): Date is not in the calendar."),
        ({"Date": "0001-01-01T00:00:00+14:00"}, "Badges.xml, row 5 (Id 1): Date is not in the calendar."),
    ],
)
def test_a_bad_row_is_named(changed: dict[str, str], sentence: str) -> None:
    """One sentence says which file, which row and what is wrong."""
    assert sentence == complaint(lambda: badge(**changed))


def test_a_badge_that_cannot_name_an_achievement_is_refused(tmp_path: Path) -> None:
    """A name over 200 characters is found before anything is sent."""
    folder = dump_in(tmp_path, badges=[BADGE, BADGE | {"Name": "x" * 201}])
    assert complaint(lambda: check_dump(folder)).startswith("Badges.xml, row 2 (Id 1): Name cannot name an achievement")


def test_an_id_may_occur_once(tmp_path: Path) -> None:
    """Two users of one id would share everything."""
    folder = dump_in(tmp_path, badges=[], users=[{"Id": "1"}, {"Id": "1"}])
    assert "Users.xml, row 2 (Id 1): the Id occurs twice." == complaint(lambda: check_dump(folder))


@pytest.mark.parametrize(
    "start",
    [
        "",
        "\ufeff",
        "<?xml version='1.0'?>",
        "\ufeff<?xml version='1.0' encoding='utf-8'?>",
        "<!DOCTYPE badges>",
        "<!DOCTYPE badges SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE badges [<!ELEMENT badges (row*)><!ENTITY secret SYSTEM 'file:///etc/passwd'>]>",
        f"<!DOCTYPE badges [<!ENTITY e0 'ha'>{BOMB}]>",
    ],
)
def test_what_stands_before_the_rows_does_not_matter(tmp_path: Path, start: str) -> None:
    """A byte order mark, a declaration and a document type are accepted, and nothing they name is read."""
    path = tmp_path / "Badges.xml"
    path.write_text(start + "<badges><row Id='1' Name='é'/><other/><row Id='2'/></badges>", encoding="utf-8")
    assert [(1, {"Id": "1", "Name": "é"}), (2, {"Id": "2"})] == [
        (r.number, dict(r.attributes)) for r in read_rows(path)
    ]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<badges>",
        "<badges><row Id='1' /><row Id=",
        "<badges><row Id='1' /></users>",
        "<html><p>Not found<br></html>",
        "<?xml version='1.0' encoding='no-such-thing'?><badges/>",
        "<?xml version='1.0' encoding='shift_jis'?><badges/>",
        "<badges><row Name='&undefined;'/></badges>",
        "<!DOCTYPE b [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><badges><row Name='&e;'/></badges>",
        f"<!DOCTYPE b [<!ENTITY e0 'haha'>{BOMB}]><badges><row Name='&e11;'/></badges>",
        "<badges><row Name='" + "x" * 2_000_000 + "'/></badges>",
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, document: str) -> None:
    """A file that is cut off, malformed or malicious is refused with its name and the row reached."""
    path = tmp_path / "Badges.xml"
    path.write_text(document, encoding="utf-8")
    sentence = complaint(lambda: list(read_rows(path)))
    assert sentence.startswith("Badges.xml, row ")
    assert "\n" not in sentence


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """A folder without badges is no dump."""
    assert complaint(lambda: check_dump(tmp_path)).startswith("Badges.xml cannot be read (No such file or directory)")


def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    """Rows come before the file has been read to its end, and the bytes read are told as it goes."""
    path = tmp_path / "Badges.xml"
    path.write_text(xml(*[BADGE | {"Id": str(number)} for number in range(5_000)]), encoding="utf-8")
    told: list[int] = []
    rows = read_rows(path, told.append)
    assert "Id" in next(rows).attributes
    assert [] == told
    assert 4_999 == len(list(rows))
    assert sorted(told) == told
    assert path.stat().st_size == told[-1]


def test_checking_tells_its_progress(tmp_path: Path) -> None:
    """Both files are read to their ends before anything is sent."""
    told: list[tuple[Stage, int, int]] = []
    check_dump(dump_in(tmp_path, badges=[BADGE], users=[]), progress=lambda *step: told.append(step))
    assert ["Checking Users.xml", "Checking Badges.xml"] == list(dict.fromkeys(stage.label for stage, _, _ in told))
    assert all(done == total for _, done, total in told)


def test_a_site_is_named_after_its_folder(tmp_path: Path) -> None:
    """The name is the folder's where that can stand in a key, else a readable form that no other folder shares."""
    assert "martial-arts" == site_of(tmp_path / "martial-arts")
    assert "given" == site_of(tmp_path, "given")
    named = {site_of(tmp_path / name) for name in ("музыка", "спорт", "my dump", "my  dump", "x" * 200)}
    assert 5 == len(named)
    assert all(name.isascii() and len(name) <= 64 for name in named)


@pytest.mark.parametrize("given_name", ["", "a b", "музыка", "x" * 65, "-"])
def test_a_site_must_fit_a_key(tmp_path: Path, given_name: str) -> None:
    """A name that cannot stand in an idempotency key is refused."""
    assert "site" in complaint(lambda: site_of(tmp_path, given_name))


TAKEN = Result(409, problem={"title": "Username taken", "detail": "Another user has this name."})


@pytest.mark.parametrize(
    ("kind", "result", "expected"),
    [
        ("create-user", Result(201), False),
        ("award-achievement", Result(201), False),
        ("create-user", TAKEN, True),
        ("define-achievement", TAKEN, True),
    ],
)
def test_what_is_there_already_is_fine(kind: str, result: Result, *, expected: bool) -> None:
    """Created or there before, the user and the achievement can be used."""
    assert expected == was_there(Step("Users.xml, row 1", {"type": kind}), result)


@pytest.mark.parametrize("result", [TAKEN, Result(400, problem={"title": "Username taken"}), Result(422)])
def test_any_other_refusal_stops_the_import(result: Result) -> None:
    """The sentence tells the row, the status, and what the server said."""
    with pytest.raises(ServerError, match=r"^Badges\.xml, row 3: the server refused it with 4\d\d .*\.$"):
        was_there(Step("Badges.xml, row 3", {"type": "award-achievement"}), result)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Result(201), False),
        (Result(503), True),
        (Result(429), True),
        (TAKEN, False),
        (Result(409, problem={"type": "https://example.org/problems/key-in-progress"}), True),
    ],
)
def test_some_results_are_worth_another_try(result: Result, *, expected: bool) -> None:
    """Too busy, unreachable and still in progress may pass; a refusal will not."""
    assert expected == result.transient


def test_a_pause_is_never_shorter_than_the_server_asks() -> None:
    """What the server asks counts where it is longer than the client's own pause, which grows."""
    passed: list[float] = []
    outcomes = [_Retry("busy"), _Retry("busy", 30.0), _Retry("busy", 0.0), "done"]
    patience = Patience(clock=lambda: sum(passed), sleep=passed.append)
    with Laurels("http://127.0.0.1:9", patience=patience) as server:
        assert "done" == server._until_it_works(lambda: outcomes.pop(0))
    first, asked, third = passed
    assert 0.25 <= first <= 0.5
    assert 30.0 == asked
    assert 1.0 <= third <= 2.0


def test_a_server_that_never_answers_is_given_up() -> None:
    """After a minute of nothing there is one sentence; the clock and the pauses are the test's own."""
    passed: list[float] = []
    patience = Patience(clock=lambda: sum(passed), sleep=passed.append)
    with (
        Laurels("http://127.0.0.1:9", patience=patience) as server,
        pytest.raises(ServerError, match=r"^Gave up on http://127\.0\.0\.1:9/api/v1/ after \d+ attempts; .*\.$"),
    ):
        server.post([{"type": "create-user"}])
    assert 40 < sum(passed) <= 60


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://example.org", "http://", "/api/v1", "http://[::1"])
def test_an_address_must_be_one_of_http(address: str) -> None:
    """What is no address is refused at once and not retried."""
    with pytest.raises(ServerError, match="must look like"):
        Laurels(address)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("Sat, 31 Jan 2026 12:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("Sat, 31 Jan 2026 12:00:30 -0000", 30.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """Both forms of RFC 9110 are understood, anything else is as if it were not there."""
    assert seconds == retry_after(header, datetime(2026, 1, 31, 12, 0, tzinfo=UTC))


@given(st.lists(st.integers()), st.integers(1, 5))
def test_batches_are_the_items_in_order(items: list[int], size: int) -> None:
    """Nothing is lost, nothing empty is sent, and only the last batch may be short."""
    batches = list(batched(items, size))
    assert items == [item for batch in batches for item in batch]
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_the_demo_is_the_same_for_a_seed_and_a_day() -> None:
    """Loading the demo twice repeats every key with the same body, and later days only add to it."""
    today = date(2026, 1, 31)
    first = {str(command["idempotency_key"]): command for command in demo_commands(today)}
    later = {str(command["idempotency_key"]): command for command in demo_commands(today + timedelta(days=3))}
    assert list(first.values()) == list(demo_commands(today))
    assert all(first[key] == later[key] for key in first.keys() & later.keys())
    assert first.keys() - later.keys()
    assert later.keys() - first.keys()
    assert list(first.values()) != list(demo_commands(today, seed=2))


def test_the_demo_has_streaks() -> None:
    """Several people of both languages hold runs of seven days and more, and nothing lies in the future."""
    today = date(2026, 1, 31)
    commands = list(demo_commands(today))
    users = {str(c["username"]): c for c in commands if c["type"] == "create-user"}
    awards = [c for c in commands if c["type"] == "award-achievement"]
    days: dict[str, set[date]] = {name: set() for name in users}
    for award in awards:
        instant = datetime.fromisoformat(str(award["awarded_at"]))
        assert datetime(2025, 12, 2, tzinfo=UTC) <= instant < datetime(2026, 1, 31, tzinfo=UTC)
        name = str(award["username"])
        days[name].add(local_day(instant, zone(str(users[name]["user_timezone"]))))
    streaks = {name: run.days for name, held in days.items() if (run := longest_run(runs(held)))}
    assert USERS == len({username(name).key for name in users})
    assert {"en", "ru"} == {users[name]["user_language"] for name, length in streaks.items() if length >= 7}
    assert {achievement.name for achievement in ACHIEVEMENTS} == {award["achievement_name"] for award in awards}
    assert 2_000 < len(awards) < 10_000
