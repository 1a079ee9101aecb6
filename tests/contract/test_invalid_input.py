"""Whatever is wrong with the input is 400, and nothing of it comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .helpers import (
    API,
    Laurels,
    a_standing_scene,
    assert_problem,
    assert_status,
    award,
    create_user,
    define_achievement,
    get,
    given_a_scene,
    post_raw,
    quoted,
    send,
    user_path,
)

MARKER = "zq-marker-7f3a"

MALFORMED = {
    "empty": b"",
    "blank": b"  ",
    "no JSON": b"hello",
    "cut off": b'{"username": "never", "user_language": "en"',
    "trailing comma": b'{"username": "never", "user_language": "en",}',
    "trailing text": b'{"username": "never", "user_language": "en"} {}',
    "single quotes": b"{'username': 'never', 'user_language': 'en'}",
    "comment": b'{"username": "never", "user_language": "en"} // x',
    "not UTF-8": b'{"username": "never\xff", "user_language": "en"}',
    "UTF-16": '{"username": "never", "user_language": "en"}'.encode("utf-16"),
    "overlong UTF-8": b'{"username": "never\xc0\xaf", "user_language": "en"}',
    "surrogate in UTF-8": b'{"username": "never\xed\xa0\x80", "user_language": "en"}',
    "raw control": b'{"username": "never\x01", "user_language": "en"}',
    "duplicate key": b'{"username": "a", "username": "never", "user_language": "en"}',
    "escaped duplicate": b'{"username": "n", "user\\u006eame": "n"}',
    "lone high surrogate": b'{"username": "never\\ud800", "user_language": "en"}',
    "lone low surrogate": b'{"username": "\\udc00never", "user_language": "en"}',
    "surrogate in a key": b'{"username": "never", "user_language": "en", "\\ud800": 1}',
    "NUL": b'{"username": "never\\u0000", "user_language": "en"}',
    "NUL elsewhere": b'{"username": "never", "user_language": "en\\u0000"}',
    "NUL in a key": b'{"username": "never", "user_language": "en", "\\u0000": 1}',
    "array": b'[{"username": "never", "user_language": "en"}]',
    "string": b'"never"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "NaN": b"NaN",
    "number for a name": b'{"username": 1, "user_language": "en"}',
    "null for a name": b'{"username": null, "user_language": "en"}',
    "array for a name": b'{"username": ["never"], "user_language": "en"}',
    "object for a name": b'{"username": {"a": "never"}, "user_language": "en"}',
    "huge float": b'{"username": 1e999, "user_language": "en"}',
    "deep": b'{"username": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep and open": b"[" * 500_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "unknown field": b'{"username": "never", "user_language": "en", "user_id": 1}',
    "missing name": b'{"user_language": "en"}',
    "missing language": b'{"username": "never"}',
    "nothing": b"{}",
    "null zone": b'{"username": "never", "user_language": "en", "user_timezone": null}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_bad_body_of_a_user_is_400(laurels: Laurels, body: bytes) -> None:
    """Malformed, wrongly typed, incomplete or excessive: always 400."""
    assert_problem(post_raw(laurels, "/users/", body), 400, "invalid-input")
    assert_problem(get(laurels, "/users/never/"), 404)


BAD_BODIES = {
    "empty": b"",
    "array": b"[]",
    "unknown field": b'{"nonsense": 1}',
    "duplicate key": b'{"reason": "a", "reason": "b", "a": 1, "a": 2}',
    "surrogate in a key": b'{"\\udfff": 1}',
    "NUL in a key": b'{"a\\u0000b": 1}',
    "NaN": b'{"a": NaN}',
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("PATCH", "/users/{username}/"),
        ("POST", "/users/achievements"),
        ("PUT", "/users/achievements/{achievement_id}/translations/ru"),
        ("POST", "/users/{username}/achievements/"),
    ],
)
def test_bad_body_of_any_command_is_400(laurels: Laurels, method: str, template: str, body: bytes) -> None:
    """The rules for input are those of every command."""
    path = a_standing_scene(laurels).path(template)

    response = post_raw(laurels, path, body, method=method)

    assert_problem(response, 400, "invalid-input")


NO_POINTS = (
    '"1"',
    "true",
    "false",
    "null",
    "1.5",
    "1e7",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "+1",
    "0x10",
    "[]",
    "[1]",
    "{}",
    "-1",
    "1000001",
    str(2**31),
    str(2**63),
    str(2**64),
    "1" * 400,
    "1" * 5_000,
)


@pytest.mark.parametrize("literal", NO_POINTS, ids=lambda literal: literal[:12])
def test_points_are_an_integer_in_range(laurels: Laurels, literal: str) -> None:
    """Points are integers of 0..1,000,000, and nothing that resembles one."""
    body = (
        f'{{"achievement_name": "{laurels.name("feat")}",'
        ' "achievement_description": "", "achievement_language": "en",'
        f' "achievement_point": {literal}}}'
    )

    response = post_raw(laurels, "/users/achievements", body.encode())

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize("literal", ["10", "10.0", "1e1", "100E-1"])
def test_a_number_without_a_fraction_is_an_integer(laurels: Laurels, literal: str) -> None:
    """How JSON writes a number does not change what it is."""
    body = (
        f'{{"achievement_name": "{laurels.name("feat")}",'
        ' "achievement_description": "", "achievement_language": "en",'
        f' "achievement_point": {literal}}}'
    )

    response = post_raw(laurels, "/users/achievements", body.encode())

    assert_status(201, response)
    assert 10 == response.json()["achievement_point"]


@pytest.mark.parametrize("literal", ['"true"', "1", "0", "null", '"yes"', "[]"])
def test_repeatable_is_a_boolean(laurels: Laurels, literal: str) -> None:
    """Only true and false are booleans."""
    body = (
        f'{{"achievement_name": "{laurels.name("feat")}",'
        ' "achievement_description": "", "achievement_language": "en",'
        f' "repeatable": {literal}}}'
    )

    assert_problem(post_raw(laurels, "/users/achievements", body.encode()), 400)


NO_IDS = (
    '"1"',
    "true",
    "null",
    "1.5",
    "1e16",
    "1e999",
    "NaN",
    "0",
    "-1",
    str(2**53),
    str(2**63),
    "9" * 400,
    "[1]",
    "{}",
)


@pytest.mark.parametrize("literal", NO_IDS, ids=lambda literal: literal[:12])
def test_ids_are_positive_integers_below_2_to_the_53rd(laurels: Laurels, literal: str) -> None:
    """An id that cannot be one is invalid, not unknown."""
    path = user_path(create_user(laurels)["username"], "/achievements/")

    response = post_raw(laurels, path, f'{{"achievement_id": {literal}}}'.encode())

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize("segment", ["abc", "0", "-1", "1.0", "0x1", "%00", str(2**53), "9" * 400])
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("GET", "/users/achievements/{segment}"),
        ("PUT", "/users/achievements/{segment}/translations/ru"),
        ("DELETE", "/users/{username}/achievements/{segment}"),
    ],
)
def test_bad_id_in_a_path_is_400(laurels: Laurels, method: str, template: str, segment: str) -> None:
    """The ids of paths follow the rules of those in bodies."""
    path = template.format(segment=segment, username=create_user(laurels)["username"])
    texts = {"achievement_name": laurels.name("feat"), "achievement_description": ""}

    response = laurels.http.request(method, API + path, json=texts if method == "PUT" else None)

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize(
    "literal",
    [
        '""',
        '"yesterday"',
        '"2024-13-01T00:00:00Z"',
        '"2024-02-30T00:00:00Z"',
        '"2024-01-01T25:00:00Z"',
        '"2024-01-01T00:00:00+25:00"',
        '"2024-01-01"',
        '"1700000000"',
        '"2024-01-01T00:00:00Z\\u0000"',
        '"10000-01-01T00:00:00Z"',
        '"9999-12-31T23:59:59-14:00"',
        "1700000000",
        "1700000000.5",
        "1e999",
        "null",
        "true",
        "[]",
        "{}",
    ],
)
def test_awarded_at_is_a_timestamp(laurels: Laurels, literal: str) -> None:
    """A time is written by RFC 3339, and nothing else is guessed at."""
    username = create_user(laurels)["username"]
    achievement_id = define_achievement(laurels)["achievement_id"]
    body = f'{{"achievement_id": {achievement_id}, "awarded_at": {literal}}}'

    response = post_raw(laurels, user_path(username, "/achievements/"), body.encode())

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z"],
)
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_edge_of_the_calendar_breaks_nothing(laurels: Laurels, moment: str, zone: str) -> None:
    """The first days there are, and those before, are taken or refused."""
    username = create_user(laurels, user_timezone=zone)["username"]
    achievement_id = define_achievement(laurels)["achievement_id"]

    response = send(
        laurels,
        "POST",
        user_path(username, "/achievements/"),
        {"achievement_id": achievement_id, "awarded_at": moment},
    )

    assert response.status_code in {201, 400}, response.text


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Olympus",
        "+03:00",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe",
        "UTC\0",
        "x" * 500,
    ],
)
def test_timezone_is_an_iana_name(laurels: Laurels, zone: str) -> None:
    """A zone that the IANA does not list is refused, at first and later."""
    name = create_user(laurels)["username"]
    body = {"username": laurels.name(), "user_language": "en", "user_timezone": zone}

    assert_problem(send(laurels, "POST", "/users/", body), 400, "invalid-input")
    assert_problem(send(laurels, "PATCH", user_path(name), {"user_timezone": zone}), 400)


@pytest.mark.parametrize("language", ["", "xx", "english", "en,ru", "\0", MARKER])
def test_language_is_one_of_the_configured(laurels: Laurels, language: str) -> None:
    """A language that the deployment does not have is refused everywhere."""
    name = create_user(laurels)["username"]
    user = {"username": laurels.name(), "user_language": language}
    feat = {
        "achievement_name": laurels.name("feat"),
        "achievement_description": "",
        "achievement_language": language,
    }

    assert_problem(send(laurels, "POST", "/users/", user), 400)
    assert_problem(send(laurels, "PATCH", user_path(name), {"user_language": language}), 400)
    assert_problem(send(laurels, "POST", "/users/achievements", feat), 400)
    assert_problem(get(laurels, f"/users/achievements?language={quoted(language)}"), 400)


def test_translation_into_an_unknown_language_is_400(laurels: Laurels) -> None:
    """The language of a path is input like any other."""
    achievement_id = define_achievement(laurels)["achievement_id"]
    texts = {"achievement_name": laurels.name("feat"), "achievement_description": ""}

    response = send(laurels, "PUT", f"/users/achievements/{achievement_id}/translations/xx", texts)

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize("size", [0, 201])
def test_achievement_name_is_1_to_200_characters(laurels: Laurels, size: int) -> None:
    """A name outside its range is refused when defined and when translated."""
    achievement_id = define_achievement(laurels)["achievement_id"]
    texts = {"achievement_name": "é" * size, "achievement_description": ""}
    path = f"/users/achievements/{achievement_id}/translations/ru"

    defined = send(laurels, "POST", "/users/achievements", texts | {"achievement_language": "en"})

    assert_problem(defined, 400, "invalid-input")
    assert_problem(send(laurels, "PUT", path, texts), 400, "invalid-input")


def test_achievement_description_is_at_most_2000_characters(laurels: Laurels) -> None:
    """A longer description is refused when defined and when translated."""
    achievement_id = define_achievement(laurels)["achievement_id"]
    texts = {
        "achievement_name": laurels.name("feat"),
        "achievement_description": "é" * 2001,
    }
    path = f"/users/achievements/{achievement_id}/translations/ru"

    defined = send(laurels, "POST", "/users/achievements", texts | {"achievement_language": "en"})

    assert_problem(defined, 400, "invalid-input")
    assert_problem(send(laurels, "PUT", path, texts), 400, "invalid-input")


@pytest.mark.parametrize("missing", ["achievement_name", "achievement_description", "achievement_language"])
def test_texts_of_an_achievement_are_required(laurels: Laurels, missing: str) -> None:
    """What is not said to be optional must be there, and the pointer says what."""
    body = {
        "achievement_name": laurels.name("feat"),
        "achievement_description": "",
        "achievement_language": "en",
    }
    del body[missing]

    problem = assert_problem(send(laurels, "POST", "/users/achievements", body), 400)

    assert [f"/{missing}"] == [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"awarded_at": "2024-01-01T00:00:00Z"},
        {"achievement_name": ""},
        {"achievement_name": None},
        {"achievement_name": 1},
        {"achievement_name": "x\0"},
        {"achievement_id": 1, "achievement_name": "First run"},
        {"achievement_id": 1, "points": 5},
        {"achievement_id": 1, "recorded_at": "2024-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_award_names_one_achievement(laurels: Laurels, body: dict[str, object]) -> None:
    """An award says which achievement, in one way, and nothing beside."""
    path = user_path(create_user(laurels)["username"], "/achievements/")

    assert_problem(send(laurels, "POST", path, body), 400, "invalid-input")


@pytest.mark.parametrize("body", [b'{"reason": 1}', b'{"reason": "a\\u0000"}', b'{"why": "x"}', b"[]", b"{"])
def test_reason_of_a_revocation_is_checked(laurels: Laurels, body: bytes) -> None:
    """The optional body of DELETE is input like any other."""
    scene = given_a_scene(laurels)
    path = scene.path("/users/{username}/achievements/{award_id}")

    response = post_raw(laurels, path, body, method="DELETE")

    assert_problem(response, 400, "invalid-input")
    assert_status(204, send(laurels, "DELETE", path))


def test_pointer_names_what_is_wrong(laurels: Laurels) -> None:
    """Each error points to its field."""
    body = {"username": "a/b", "user_language": "xx", "user_timezone": "Mars/Olympus"}

    problem = assert_problem(send(laurels, "POST", "/users/", body), 400)

    pointers = {error["pointer"] for error in problem["errors"]}
    assert {"/username", "/user_language", "/user_timezone"} == pointers


def test_an_unknown_field_is_named_and_its_value_is_not(laurels: Laurels) -> None:
    """An unknown field's pointer is its name, escaped and shortened; twenty errors are listed, the rest counted."""
    fields = {"a/b~c": MARKER, "x" * 5_000: MARKER} | {f"f{number}": MARKER for number in range(198)}
    body = {"username": laurels.name(), "user_language": "en"} | fields

    problem = assert_problem(send(laurels, "POST", "/users/", body), 400, "invalid-input")

    pointers = [error["pointer"] for error in problem["errors"]]
    assert ["/a~1b~0c", f"/{'x' * 63}…", "/f0"] == pointers[:3]
    assert 20 == len(pointers)
    assert "180 more" in problem["detail"]
    assert MARKER not in json.dumps(problem)


def test_an_unknown_parameter_is_named_and_its_value_is_not(laurels: Laurels) -> None:
    """The pointer of an unknown query parameter is its name, and nothing else of the query comes back."""
    response = get(laurels, f"/users/?{'y' * 500}={MARKER}")

    problem = assert_problem(response, 400, "invalid-input")
    assert [f"/{'y' * 63}…"] == [error["pointer"] for error in problem["errors"]]
    assert MARKER not in response.text


# Queries

LISTS = ("/users/", "/users/achievements", "/users/{username}/achievements/")
STREAK = "/users/achievements-stats/streak/"


@pytest.mark.parametrize(
    "limit",
    ["0", "101", "-1", "abc", "", "1.0", "1e1", "1_0", "0x10", "9" * 400, "%00", "%FF"],
)
@pytest.mark.parametrize("template", [*LISTS, STREAK])
def test_limit_is_1_to_100(laurels: Laurels, template: str, limit: str) -> None:
    """A limit out of range, or none at all, is refused rather than bent."""
    path = a_standing_scene(laurels).path(template)

    assert_problem(get(laurels, f"{path}?limit={limit}"), 400, "invalid-input")


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("template", [*LISTS, STREAK])
def test_limits_themselves_are_allowed(laurels: Laurels, template: str, limit: int) -> None:
    """1 and 100 are in range."""
    path = a_standing_scene(laurels).path(template)

    response = get(laurels, path, params={"limit": limit})

    assert_status(200, response)
    assert len(response.json()) <= limit


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


BAD_CURSORS = {
    "empty": "",
    "word": "garbage",
    "number": "-1",
    "zeros": "AAAA",
    "punctuation": "%21%40%23",
    "NUL": "%00",
    "not UTF-8": "%FF%FE",
    "encoded object": _encoded('{"x": 1}'),
    "encoded list": _encoded("[1e999, null, {}]"),
    "encoded SQL": _encoded("1; DROP TABLE users"),
    "encoded NUL": _encoded('["2024-01-01T00:00:00Z\\u0000", 1]'),
    "long": "A" * 4_000,
}


@pytest.mark.parametrize("cursor", BAD_CURSORS.values(), ids=BAD_CURSORS.keys())
@pytest.mark.parametrize("template", [*LISTS, STREAK])
def test_bad_cursor_is_400(laurels: Laurels, template: str, cursor: str) -> None:
    """A cursor that the service did not give is refused."""
    path = a_standing_scene(laurels).path(template)

    assert_problem(get(laurels, f"{path}?cursor={cursor}"), 400, "invalid-input")


READS = (
    *LISTS,
    STREAK,
    "/users/{username}/",
    "/users/achievements/{achievement_id}",
    "/users/achievements-stats/max-count/",
    "/users/achievements-stats/max-points/",
    "/users/achievements-stats/max-min-difference/",
)


@pytest.mark.parametrize(
    "query",
    [
        "min_position=abc",
        "min_position=-1",
        "min_position=1.0",
        "min_position=",
        "min_position=%00",
        f"min_position={2**63}",
        f"min_position={'9' * 400}",
        "min_position=1&min_position=1",
        "nonsense=1",
        f"{MARKER}=1",
        "%00=1",
        "a%00b=c",
        "%FF=1",
        "=1",
    ],
)
@pytest.mark.parametrize("template", READS)
def test_bad_query_of_any_read_is_400(laurels: Laurels, template: str, query: str) -> None:
    """Unknown, repeated and malformed parameters are refused on every read."""
    path = a_standing_scene(laurels).path(template)

    assert_problem(get(laurels, f"{path}?{query}"), 400, "invalid-input")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (STREAK, "days=1"),
        (STREAK, "days=0"),
        (STREAK, "days=-7"),
        (STREAK, "days=367"),
        (STREAK, "days=abc"),
        (STREAK, "days=7.0"),
        (STREAK, "days="),
        (STREAK, f"days={'9' * 400}"),
        (STREAK, "days=2&days=3"),
        (STREAK, "mode=nonsense"),
        (STREAK, "mode="),
        (STREAK, "mode=current&mode=current"),
        ("/users/achievements", "language=xx"),
        ("/users/achievements", "language="),
        ("/users/achievements", "language=en&language=ru"),
        ("/users/", "limit=1&limit=2"),
        ("/users/", "days=7"),
        ("/users/", "limit=1&limit=1"),
        ("/users/achievements-stats/max-count/", "include_unawarded=maybe"),
        ("/users/achievements-stats/max-points/", "include_unawarded="),
        ("/users/achievements-stats/max-points/", "limit=1"),
        (
            "/users/achievements-stats/max-min-difference/",
            "include_unawarded=true&include_unawarded=true",
        ),
    ],
)
def test_bad_query_parameter_is_400(laurels: Laurels, path: str, query: str) -> None:
    """A parameter is one value in its range, on the reads that know it."""
    assert_problem(get(laurels, f"{path}?{query}"), 400, "invalid-input")


def test_commands_take_no_unknown_query(laurels: Laurels) -> None:
    """A command with a parameter that nobody reads is refused, and does nothing."""
    name = laurels.name()
    body = {"username": name, "user_language": "en"}

    assert_problem(send(laurels, "POST", "/users/?nonsense=1", body), 400)
    assert_problem(get(laurels, user_path(name)), 404)


# Paths


@pytest.mark.parametrize("segment", ["%00", "a%00b", "%00%00"])
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("GET", "/users/{segment}/"),
        ("PATCH", "/users/{segment}/"),
        ("GET", "/users/{segment}/achievements/"),
        ("POST", "/users/{segment}/achievements/"),
        ("DELETE", "/users/{segment}/achievements/1"),
    ],
)
def test_nul_in_a_path_is_400(laurels: Laurels, method: str, template: str, segment: str) -> None:
    """NUL is refused before the database can choke on it."""
    bodies: dict[str, Any] = {
        "PATCH": {"user_language": "en"},
        "POST": {"achievement_id": 1},
    }

    response = laurels.http.request(method, API + template.format(segment=segment), json=bodies.get(method))

    assert_problem(response, 400, "invalid-input")


@pytest.mark.parametrize(
    "segment",
    ["%FF", "%ED%A0%80", "%C0%AF", "%EF%BF%BD", "a%2Fb", "%5C", "%E2%80%8B", "%0A"],
)
def test_name_that_cannot_exist_is_not_found_or_refused(laurels: Laurels, segment: str) -> None:
    """A path with a name that no user can have never breaks anything."""
    response = get(laurels, f"/users/{segment}/")

    assert response.status_code in {400, 404}, response.text
    assert_problem(response, response.status_code)


# Nothing comes back


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/", f'{{"username": "{MARKER}/", "user_language": "en"}}'),
        ("/users/", f'{{"username": "a", "user_language": "{MARKER}"}}'),
        ("/users/", f'{{"username": ["{MARKER}"], "user_language": "en"}}'),
        ("/users/", f'{{"username": "a", "user_language": "en", "x": "{MARKER}"}}'),
        (
            "/users/",
            f'{{"username": "a", "user_language": "en", "user_timezone": "{MARKER}"}}',
        ),
        ("/users/", f'{{"username": "{MARKER}'),
        ("/users/", f"{MARKER}"),
        ("/users/achievements", f'{{"achievement_name": "{MARKER}"}}'),
        ("/users/ada/achievements/", f'{{"achievement_id": "{MARKER}"}}'),
        (
            "/users/ada/achievements/",
            f'{{"achievement_id": 1, "awarded_at": "{MARKER}"}}',
        ),
        ("/commands", f"{MARKER}"),
        ("/commands", f'[{{"type": "{MARKER}"}}]'),
        ("/commands", f'["{MARKER}"]'),
    ],
)
def test_refused_input_is_not_echoed(laurels: Laurels, path: str, body: str) -> None:
    """No answer repeats what was sent."""
    response = post_raw(laurels, path, body.encode())

    assert response.status_code in {200, 400}, response.text
    assert MARKER not in response.text


@pytest.mark.parametrize(
    "path",
    [
        f"/users/?limit={MARKER}",
        f"/users/?cursor={MARKER}",
        f"/users/?min_position={MARKER}",
        f"/users/achievements?language={MARKER}",
        f"{STREAK}?mode={MARKER}",
        f"/users/achievements/{MARKER}",
        f"/{MARKER}",
    ],
)
def test_refused_path_is_not_echoed(laurels: Laurels, path: str) -> None:
    """No answer repeats the query or the path."""
    response = get(laurels, path)

    assert response.status_code in {400, 404}, response.text
    assert MARKER not in response.text


# Everything else

FUZZ = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
FIELDS = st.sampled_from(
    [
        "username",
        "user_language",
        "user_timezone",
        "achievement_id",
        "achievement_name",
        "achievement_description",
        "achievement_language",
        "achievement_point",
        "repeatable",
        "awarded_at",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(FIELDS | st.text(), VALUES, max_size=6)


@FUZZ
@given(body=OBJECTS | VALUES, path=st.sampled_from(["/users/", "/users/achievements"]))
def test_no_json_breaks_a_command(laurels: Laurels, path: str, body: object) -> None:
    """Whatever JSON is sent, the answer is an expected one."""
    response = post_raw(laurels, path, json.dumps(body).encode())

    assert response.status_code in {201, 400, 409}, response.text


@FUZZ
@given(body=st.binary(max_size=200))
def test_no_bytes_break_a_command(laurels: Laurels, body: bytes) -> None:
    """Whatever bytes are sent, the answer is 400."""
    assert_problem(post_raw(laurels, "/users/", body), 400, "invalid-input")


@FUZZ
@given(segment=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_no_name_in_a_path_breaks_a_read(laurels: Laurels, segment: str) -> None:
    """Whatever user is asked for, the answer is an expected one."""
    # A client folds "." and ".." away before it sends them.
    response = get(laurels, user_path(f"x{segment}"))

    assert response.status_code in {200, 400, 404}, response.text


@FUZZ
@given(commands=st.lists(OBJECTS | VALUES, max_size=5))
def test_no_command_breaks_a_batch(laurels: Laurels, commands: list[object]) -> None:
    """Whatever commands a batch holds, it is answered or refused as a whole."""
    response = post_raw(laurels, "/commands", json.dumps(commands).encode())

    assert response.status_code in {200, 400}, response.text
    if response.status_code == 200:
        assert [400] * len(commands) == [result["status"] for result in response.json()]


def test_valid_text_of_any_kind_is_kept(laurels: Laurels) -> None:
    """What is not refused comes back as it was sent."""
    text = "Ω\u2028\u202e \U0001f3c6 \\ \" ' <b>&amp; %00 {} \t\n\u061c"
    name = laurels.name("feat")

    defined = define_achievement(laurels, name, achievement_description=text)
    user = create_user(laurels)
    held = award(laurels, user["username"], defined["achievement_id"])

    assert text == defined["achievement_description"]
    assert text == held["achievement_description"]
