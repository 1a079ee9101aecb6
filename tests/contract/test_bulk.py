"""Commands in bulk: arrays and streams of lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    API,
    FORGOTTEN_ID,
    Body,
    Laurels,
    assert_problem,
    assert_status,
    award,
    awards_of,
    bulk,
    create_user,
    define_achievement,
    eventually,
    get,
    given_a_scene,
    position_of,
    post_raw,
    send,
    translate,
    user_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

NDJSON = "application/x-ndjson"
UNKNOWN_AWARD = {"type": "revoke-award", "award_id": FORGOTTEN_ID}


def _user(laurels: Laurels) -> Body:
    return {"type": "create-user", "username": laurels.name(), "user_language": "en"}


def _feat(laurels: Laurels) -> Body:
    return {
        "type": "define-achievement",
        "achievement_name": laurels.name("feat"),
        "achievement_description": "",
        "achievement_language": "en",
    }


def _statuses(results: list[Body]) -> list[int]:
    return [result["status"] for result in results]


def _lines(response: httpx.Response) -> list[Body]:
    assert_status(200, response)
    assert response.headers["Content-Type"].startswith(NDJSON), response.headers
    return [json.loads(line) for line in response.text.splitlines()]


def _assert_refused(result: Body, status: int, slug: str) -> None:
    assert status == result["status"], result
    assert status == result["problem"]["status"], result
    assert result["problem"]["type"].endswith(slug), result
    assert {"type", "title", "status", "detail"} <= set(result["problem"]), result
    assert result.get("body") is None, result


def test_blank_lines_are_ignored(laurels: Laurels) -> None:
    """A blank line of a stream is no command and has no result."""
    lines = ["", json.dumps(_user(laurels)), " \r", "", json.dumps(_user(laurels)), ""]
    response = post_raw(laurels, "/commands", "\n".join(lines).encode(), content_type=NDJSON)
    assert [201, 201] == _statuses(_lines(response))


def test_each_command_sees_those_before_it(laurels: Laurels) -> None:
    """A batch can register, define, award and award again, all by name."""
    user, feat = _user(laurels), _feat(laurels) | {"repeatable": False}
    given = {
        "type": "award-achievement",
        "username": user["username"],
        "achievement_name": feat["achievement_name"],
    }

    results = bulk(laurels, [user, user, feat, feat, given, given])

    assert [201, 409, 201, 409, 201, 409] == _statuses(results)
    _assert_refused(results[1], 409, "username-taken")
    _assert_refused(results[3], 409, "achievement-name-taken")
    _assert_refused(results[5], 409, "already-awarded")
    assert [results[4]["body"]] == awards_of(laurels, user["username"])


def test_order_of_the_commands_counts(laurels: Laurels) -> None:
    """An award before its user is refused, after it made."""
    user = _user(laurels)
    given = {
        "type": "award-achievement",
        "username": user["username"],
        "achievement_id": define_achievement(laurels)["achievement_id"],
    }

    results = bulk(laurels, [given, user, given])

    assert [404, 201, 201] == _statuses(results)
    _assert_refused(results[0], 404, "unknown-user")


def test_results_have_the_bodies_of_single_requests(laurels: Laurels) -> None:
    """What a batch answers is what reads answer."""
    user, feat = _user(laurels) | {"user_timezone": "Asia/Tokyo"}, _feat(laurels)
    feat |= {"achievement_point": 77, "repeatable": False}

    registered, defined = bulk(laurels, [user, feat])

    assert registered["body"] == get(laurels, user_path(user["username"])).json()
    single = define_achievement(laurels)
    assert set(single) == set(defined["body"])
    assert (77, False) == (
        defined["body"]["achievement_point"],
        defined["body"]["repeatable"],
    )
    assert registered.get("problem") is None


def test_award_of_a_batch_means_what_single_ones_do(
    laurels: Laurels,
) -> None:
    """awarded_at and the user's language mean what they mean elsewhere."""
    feat, name = define_achievement(laurels), laurels.name("перевод")
    translate(laurels, feat["achievement_id"], "ru", name)
    user = create_user(laurels, user_language="ru")
    given = {
        "type": "award-achievement",
        "username": user["username"].upper(),
        "achievement_id": feat["achievement_id"],
        "awarded_at": "2026-01-31T12:00:00+03:00",
    }

    [result] = bulk(laurels, [given])

    assert [result["body"]] == awards_of(laurels, user["username"])
    assert (user["username"], "ru", name) == (
        result["body"]["username"],
        result["body"]["achievement_language"],
        result["body"]["achievement_name"],
    )
    assert result["body"]["awarded_at"].startswith("2026-01-31T09:00:00")


def test_award_is_revoked_by_its_id(laurels: Laurels) -> None:
    """A batch revokes whoever's award it is, once."""
    scene = given_a_scene(laurels)
    revocation = {"type": "revoke-award", "award_id": scene.award_id}

    results = bulk(laurels, [revocation, revocation, UNKNOWN_AWARD])

    assert [204, 404, 404] == _statuses(results)
    assert results[0].get("body") is None
    _assert_refused(results[1], 404, "unknown-award")
    assert [] == awards_of(laurels, scene.username)


def test_revocation_takes_a_reason(laurels: Laurels) -> None:
    """The fields are those of the single request."""
    scene = given_a_scene(laurels)

    results = bulk(
        laurels,
        [{"type": "revoke-award", "award_id": scene.award_id, "reason": "mistaken"}],
    )

    assert [204] == _statuses(results)


BAD_COMMANDS: dict[str, object] = {
    "number": 5,
    "null": None,
    "text": "create-user",
    "array": [],
    "empty": {},
    "no type": {"username": "never", "user_language": "en"},
    "unknown type": {"type": "delete-everything"},
    "type of another type": {"type": 1},
    "missing field": {"type": "create-user", "username": "never"},
    "unknown field": {
        "type": "create-user",
        "username": "never",
        "user_language": "en",
        "x": 1,
    },
    "field of another command": {
        "type": "revoke-award",
        "award_id": 1,
        "username": "never",
    },
    "wrong type": {"type": "revoke-award", "award_id": "1"},
    "boolean id": {"type": "revoke-award", "award_id": True},
    "float id": {"type": "revoke-award", "award_id": 1.5},
    "id out of range": {"type": "revoke-award", "award_id": 2**53},
    "bad name": {"type": "create-user", "username": "a/b", "user_language": "en"},
    "NUL": {"type": "create-user", "username": "a\0b", "user_language": "en"},
    "bad name in an award": {
        "type": "award-achievement",
        "username": "a\0b",
        "achievement_id": 1,
    },
    "no achievement": {"type": "award-achievement", "username": "ada"},
    "bad time": {
        "type": "award-achievement",
        "username": "ada",
        "achievement_id": 1,
        "awarded_at": "later",
    },
    "future": {
        "type": "award-achievement",
        "username": "ada",
        "achievement_id": 1,
        "awarded_at": "2999-01-01T00:00:00Z",
    },
}


@pytest.mark.parametrize("bad", BAD_COMMANDS.values(), ids=BAD_COMMANDS.keys())
def test_bad_command_refuses_nothing_else(laurels: Laurels, bad: object) -> None:
    """A command that is no command is 400, in its place; its neighbours are done."""
    results = bulk(laurels, [_user(laurels), bad, _user(laurels)])

    assert [201, 400, 201] == _statuses(results)
    _assert_refused(results[1], 400, "invalid-input")
    for error in results[1]["problem"]["errors"]:
        assert {"pointer", "detail"} == set(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'"x"',
        b"5",
        b"[",
        b"[{]",
        b"[1,]",
        b"[NaN]",
        b"[] []",
        b'["\xff"]',
        b"[" * 100_000,
        b'{"type": "create-user", "username": "never", "user_language": "en"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_batch_that_is_no_array_is_400(laurels: Laurels, body: bytes) -> None:
    """A body that cannot be read as an array is refused as a whole."""
    assert_problem(post_raw(laurels, "/commands", body), 400, "invalid-input")


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type": "create-user", "username": "a\\ud800", "user_language": "en"}',
        b'{"type": "revoke-award", "award_id": 1, "\\ud800": 1}',
        b'{"type": "revoke-award", "award_id": 1, "award_id": 9007199254740991}',
        b'{"type": "revoke-award", "award_id": %s}' % (b"9" * 400),
        b'{"type": "revoke-award", "award_id": 1e999}',
    ],
)
def test_unreadable_command_breaks_nothing(laurels: Laurels, bad: bytes) -> None:
    """Surrogates, repeated keys and huge numbers are 400, alone or with their batch."""
    response = post_raw(laurels, "/commands", b"[" + bad + b"]")

    assert response.status_code in {200, 400}, response.text
    if response.status_code == 200:
        assert [400] == _statuses(response.json())


def test_empty_batch_is_empty(laurels: Laurels) -> None:
    """No commands have no results."""
    assert bulk(laurels, []) == []


def test_batch_that_is_refused_entirely_is_200(laurels: Laurels) -> None:
    """The answer tells of its commands, not of itself."""
    assert [404, 404] == _statuses(bulk(laurels, [UNKNOWN_AWARD] * 2))


def test_ten_thousand_commands_are_taken(laurels: Laurels) -> None:
    """The largest array is answered command by command, the last one too."""
    user = _user(laurels)

    results = bulk(laurels, [*[UNKNOWN_AWARD] * 9_999, user])

    assert [404] * 9_999 + [201] == _statuses(results)


def test_more_than_ten_thousand_commands_are_refused(laurels: Laurels) -> None:
    """A larger array is refused as a whole, and nothing of it is done."""
    user = _user(laurels)

    response = send(laurels, "POST", "/commands", [user, *[UNKNOWN_AWARD] * 10_000])

    assert response.status_code in {400, 413}, response.text
    assert_problem(response, response.status_code)
    assert_problem(get(laurels, user_path(user["username"])), 404)


def test_thousand_users_are_registered_together(laurels: Laurels) -> None:
    """A batch of real commands is done entirely, and can be read at once."""
    users = [_user(laurels) for _ in range(1_000)]

    results = bulk(laurels, users)

    assert {201} == set(_statuses(results))
    ids = [result["body"]["user_id"] for result in results]
    assert sorted(set(ids)) == ids
    assert_status(200, get(laurels, user_path(users[-1]["username"])))


# Lines


def test_lines_are_answered_by_lines(laurels: Laurels) -> None:
    """A stream of commands gives a stream of results, in order."""
    user, feat = _user(laurels), _feat(laurels)
    given = {
        "type": "award-achievement",
        "username": user["username"],
        "achievement_name": feat["achievement_name"],
    }
    body = "".join(json.dumps(command) + "\n" for command in (user, user, feat, given))

    results = _lines(post_raw(laurels, "/commands", body.encode(), NDJSON))

    assert [201, 409, 201, 201] == _statuses(results)
    _assert_refused(results[1], 409, "username-taken")
    assert user["username"] == results[3]["body"]["username"]


def test_lines_can_be_read_afterwards(laurels: Laurels) -> None:
    """What a stream of commands did comes to be seen."""
    scene = given_a_scene(laurels)
    line = json.dumps({"type": "revoke-award", "award_id": scene.award_id}) + "\n"

    results = _lines(post_raw(laurels, "/commands", line.encode(), NDJSON))

    assert [204] == _statuses(results)
    assert eventually(lambda: awards_of(laurels, scene.username) == [])


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"], ids=repr)
def test_last_line_may_end_or_not(laurels: Laurels, ending: str) -> None:
    """The last line counts with and without its end."""
    body = json.dumps(UNKNOWN_AWARD) + "\n" + json.dumps(UNKNOWN_AWARD) + ending

    results = _lines(post_raw(laurels, "/commands", body.encode(), NDJSON))

    assert [404, 404] == _statuses(results)


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b"{",
        b"5",
        b"[]",
        b"{} {}",
        b'{"type": NaN}',
        b'{"type": 1e999}',
        b'{"type": "create-user", "username": "a\xff", "user_language": "en"}',
        b'{"type": "create-user", "username": "a\\ud800", "user_language": "en"}',
        b'{"type": "create-user", "username": "a\\u0000", "user_language": "en"}',
        b'{"type": "revoke-award", "award_id": 1, "award_id": 9007199254740991}',
        b'{"type": "revoke-award", "award_id": %s}' % (b"9" * 400),
        b"[" * 50_000,
    ],
    ids=lambda bad: repr(bad[:40]),
)
def test_malformed_line_is_400_alone(laurels: Laurels, bad: bytes) -> None:
    """A line that cannot be read is 400; the lines around it are done."""
    first, last = (json.dumps(_user(laurels)).encode() for _ in range(2))

    response = post_raw(laurels, "/commands", b"\n".join([first, bad, last]), NDJSON)

    results = _lines(response)
    assert [201, 400, 201] == _statuses(results)
    _assert_refused(results[1], 400, "invalid-input")


def test_lines_may_be_any_number(laurels: Laurels) -> None:
    """A stream has no limit of 10,000, and comes without a length."""
    line = json.dumps(UNKNOWN_AWARD).encode() + b"\n"

    def chunks() -> Iterator[bytes]:
        for _ in range(25):
            yield line * 500
        yield json.dumps(_user(laurels)).encode()

    results = _lines(post_raw(laurels, "/commands", chunks(), NDJSON))

    assert [404] * 12_500 + [201] == _statuses(results)


def test_line_may_be_split_anywhere(laurels: Laurels) -> None:
    """A chunk may end within a line, and within a character."""
    name = f"Жанна {laurels.name()}"
    command = {"type": "create-user", "username": name, "user_language": "en"}
    body = json.dumps(command, ensure_ascii=False).encode() + b"\n"

    results = _lines(post_raw(laurels, "/commands", (bytes([byte]) for byte in body), NDJSON))

    assert [201] == _statuses(results)
    assert name == results[0]["body"]["username"]


# Around them


def test_batch_is_seen_by_the_next_read(laurels: Laurels) -> None:
    """A batch says where it ended and whether reads are that far."""
    user = _user(laurels)

    response = laurels.http.post(API + "/commands", json=[user])

    assert_status(200, response)
    position = position_of(response)
    params = {} if response.headers["Event-Applied"] == "true" else {"min_position": position}
    path = user_path(user["username"])
    assert_status(200, get(laurels, path, params=params, headers={"Prefer": "wait=10"}))


def test_single_requests_see_batches(laurels: Laurels) -> None:
    """A single command decides by what batches did before."""
    user, feat = _user(laurels), _feat(laurels)

    _, defined = bulk(laurels, [user, feat])

    award(laurels, user["username"], defined["body"]["achievement_id"])
    name = {"username": user["username"], "user_language": "en"}
    assert_problem(send(laurels, "POST", "/users/", name), 409, "username-taken")
