"""Idempotency-Key: a retry is answered, not done again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    API,
    Body,
    Laurels,
    assert_problem,
    assert_status,
    awards_of,
    bulk,
    create_user,
    define_achievement,
    get,
    given_a_scene,
    in_threads,
    send,
    settle,
    user_path,
)

if TYPE_CHECKING:
    import httpx


def _post(laurels: Laurels, path: str, body: object, key: str) -> httpx.Response:
    return send(laurels, "POST", path, body, headers={"Idempotency-Key": key})


def _user(laurels: Laurels) -> Body:
    return {"username": laurels.name(), "user_language": "en"}


def _replayed(response: httpx.Response) -> bool:
    replayed: str | None = response.headers.get("Idempotency-Replayed")
    return replayed == "true"


@pytest.mark.parametrize(
    "template",
    ["/users/", "/users/achievements", "/users/{username}/achievements/", "/commands"],
)
def test_every_post_honours_the_key(laurels: Laurels, template: str) -> None:
    """The same key and body give the same status and body again."""
    scene = given_a_scene(laurels)
    user = _user(laurels)
    bodies: dict[str, object] = {
        "/users/": user,
        "/users/achievements": {
            "achievement_name": laurels.name("feat"),
            "achievement_description": "",
            "achievement_language": "en",
        },
        "/users/{username}/achievements/": {"achievement_id": scene.achievement_id},
        "/commands": [{"type": "create-user"} | user],
    }
    path, key = scene.path(template), laurels.name("key")

    first = _post(laurels, path, bodies[template], key)
    again = _post(laurels, path, bodies[template], key)

    assert first.is_success, first.text
    assert not _replayed(first)
    assert first.status_code == again.status_code
    assert first.json() == again.json()
    assert _replayed(again)


def test_retried_award_is_made_once(laurels: Laurels) -> None:
    """A retry leaves one award."""
    scene = given_a_scene(laurels)
    path, key = user_path(scene.username, "/achievements/"), laurels.name("key")

    for _ in range(3):
        _post(laurels, path, {"achievement_id": scene.achievement_id}, key)

    assert len(awards_of(laurels, scene.username)) == 2


def test_other_keys_are_other_awards(laurels: Laurels) -> None:
    """The same body under another key is another command."""
    scene = given_a_scene(laurels)
    path = user_path(scene.username, "/achievements/")
    body = {"achievement_id": scene.achievement_id}

    ids = {_post(laurels, path, body, laurels.name("key")).json()["award_id"] for _ in range(2)}

    assert len(ids) == 2


def test_key_may_be_quoted(laurels: Laurels) -> None:
    """A key in quotes, as the draft writes it, is the same key."""
    key, user = laurels.name("key"), _user(laurels)

    first = _post(laurels, "/users/", user, f'"{key}"')
    again = _post(laurels, "/users/", user, key)

    assert_status(201, first)
    assert first.json() == again.json()
    assert _replayed(again)


def test_concurrent_retries_are_one_command(laurels: Laurels) -> None:
    """Sixteen at once do it once, and all are answered alike."""
    scene = given_a_scene(laurels)
    path, key = user_path(scene.username, "/achievements/"), laurels.name("key")
    body = {"achievement_id": scene.achievement_id}

    responses = in_threads([lambda: _post(laurels, path, body, key)] * 16)

    assert [201] * 16 == [response.status_code for response in responses]
    assert len({response.text for response in responses}) == 1
    assert [_replayed(response) for response in responses].count(False) == 1
    assert len(awards_of(laurels, scene.username)) == 2


def test_refusal_is_replayed(laurels: Laurels) -> None:
    """A conflict stays a conflict for its key, even once it is resolved."""
    holder, key = create_user(laurels), laurels.name("key")
    body = {"username": holder["username"], "user_language": "en"}

    first = _post(laurels, "/users/", body, key)
    send(laurels, "PATCH", user_path(holder["username"]), {"username": laurels.name()})
    again = _post(laurels, "/users/", body, key)

    assert_problem(first, 409, "username-taken")
    assert_problem(again, 409, "username-taken")
    assert first.json() == again.json()
    assert _replayed(again)


def test_not_found_is_replayed(laurels: Laurels) -> None:
    """An award for nobody stays refused for its key."""
    name, key = laurels.name(), laurels.name("key")
    body = {"achievement_id": define_achievement(laurels)["achievement_id"]}
    path = user_path(name, "/achievements/")

    first = _post(laurels, path, body, key)
    create_user(laurels, name)
    again = _post(laurels, path, body, key)

    assert_problem(first, 404, "unknown-user")
    assert_problem(again, 404, "unknown-user")
    assert _replayed(again)


def test_invalid_input_is_not_remembered(laurels: Laurels) -> None:
    """A corrected request may use the key of the faulty one."""
    key, user = laurels.name("key"), _user(laurels)

    refused = _post(laurels, "/users/", user | {"user_language": "xx"}, key)
    corrected = _post(laurels, "/users/", user, key)

    assert_problem(refused, 400, "invalid-input")
    assert_status(201, corrected)
    assert not _replayed(corrected)


@pytest.mark.parametrize("template", ["/users/", "/commands"])
def test_key_with_another_body_is_422(laurels: Laurels, template: str) -> None:
    """A key stands for one body."""
    key = laurels.name("key")
    first, second = _user(laurels), _user(laurels)
    if template == "/commands":
        bodies: list[object] = [[{"type": "create-user"} | user] for user in (first, second)]
    else:
        bodies = [first, second]

    _post(laurels, template, bodies[0], key)
    reused = _post(laurels, template, bodies[1], key)

    assert_problem(reused, 422, "idempotency-key-reused")
    assert_problem(get(laurels, user_path(second["username"])), 404)


def test_key_may_have_255_characters(laurels: Laurels) -> None:
    """The longest key works, spaces and punctuation included."""
    key, user = f"{laurels.name('key')} ~!@#$%^&*()".ljust(255, "k"), _user(laurels)

    first, again = (_post(laurels, "/users/", user, key) for _ in range(2))

    assert_status(201, first)
    assert_status(201, again)
    assert _replayed(again)


@pytest.mark.parametrize("key", [b"", b'""', b"k" * 256, b"a\tb", b"a\x80b"], ids=repr)
def test_bad_key_is_400(laurels: Laurels, key: bytes) -> None:
    """A key that is empty, too long or not printable is refused; nothing is done."""
    user = _user(laurels)

    response = laurels.http.post(API + "/users/", json=user, headers=[(b"Idempotency-Key", key)])

    assert_problem(response, 400, "invalid-input")
    assert_problem(get(laurels, user_path(user["username"])), 404)


# In batches


def _award_command(username: str, achievement_id: int, key: str) -> Body:
    return {
        "type": "award-achievement",
        "username": username,
        "achievement_id": achievement_id,
        "idempotency_key": key,
    }


def test_command_of_a_batch_has_its_own_key(laurels: Laurels) -> None:
    """A command that comes again in another batch gives its first result."""
    scene = given_a_scene(laurels)
    command = _award_command(scene.username, scene.achievement_id, laurels.name("key"))

    [first] = bulk(laurels, [command])
    [again, other] = bulk(laurels, [command, command | {"idempotency_key": laurels.name("key")}])

    assert first["status"] == 201
    assert first["status"] == again["status"]
    assert first["body"] == again["body"]
    assert first["body"]["award_id"] < other["body"]["award_id"]
    assert len(awards_of(laurels, scene.username)) == 3


def test_key_repeated_within_a_batch_is_one_command(laurels: Laurels) -> None:
    """Commands of one request see the keys of those before them."""
    scene = given_a_scene(laurels)
    command = _award_command(scene.username, scene.achievement_id, laurels.name("key"))

    first, again = bulk(laurels, [command, command])

    assert first["status"] == 201
    assert first["body"] == again["body"]
    assert len(awards_of(laurels, scene.username)) == 2


def test_key_of_a_command_with_another_body_is_422(laurels: Laurels) -> None:
    """The rule for reused keys holds within batches."""
    scene = given_a_scene(laurels)
    command = _award_command(scene.username, scene.achievement_id, laurels.name("key"))

    results = bulk(laurels, [command, command | {"awarded_at": "2024-01-01T00:00:00Z"}])

    assert [201, 422] == [result["status"] for result in results]
    assert results[1]["problem"]["type"].endswith("idempotency-key-reused")


def test_refused_command_of_a_batch_is_replayed(laurels: Laurels) -> None:
    """What a keyed command was refused for, it is refused for again."""
    name = laurels.name()
    achievement_id = define_achievement(laurels)["achievement_id"]
    command = _award_command(name, achievement_id, laurels.name("key"))

    [first] = bulk(laurels, [command])
    create_user(laurels, name)
    [again] = bulk(laurels, [command])

    assert [404, 404] == [first["status"], again["status"]]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "a\0b", 1, None, True, ["k"]], ids=repr)
def test_bad_key_of_a_command_is_400(laurels: Laurels, key: object) -> None:
    """A bad key refuses its command only."""
    good = {"type": "create-user"} | _user(laurels)
    bad = {"type": "create-user"} | _user(laurels) | {"idempotency_key": key}

    results = bulk(laurels, [bad, good])

    assert [400, 201] == [result["status"] for result in results]


def test_concurrent_batches_share_their_keys(laurels: Laurels) -> None:
    """Eight batches at once with the same keyed commands do them once."""
    scene = given_a_scene(laurels)
    commands = [_award_command(scene.username, scene.achievement_id, laurels.name("key")) for _ in range(5)]

    answers = in_threads([lambda: bulk(laurels, commands)] * 8)

    made = [[result["body"]["award_id"] for result in results] for results in answers]
    assert [made[0]] * 8 == made
    assert len(awards_of(laurels, scene.username)) == 6


def test_lines_honour_the_key_of_the_whole(laurels: Laurels) -> None:
    """A stream that is sent again gives the same results."""
    scene = given_a_scene(laurels)
    command = {
        "type": "award-achievement",
        "username": scene.username,
        "achievement_id": scene.achievement_id,
    }
    lines = "\n".join(json.dumps(command) for _ in range(3)) + "\n"
    headers = {
        "Content-Type": "application/x-ndjson",
        "Idempotency-Key": laurels.name("key"),
    }

    first, again = (
        settle(
            laurels,
            laurels.http.post(API + "/commands", content=lines, headers=headers),
        )
        for _ in range(2)
    )

    assert_status(200, first)
    assert re.split(r"\n", first.text) == re.split(r"\n", again.text)
    ids = {json.loads(line)["body"]["award_id"] for line in first.text.splitlines()}
    assert len(ids) == 3


def test_batch_that_is_no_array_is_not_remembered(laurels: Laurels) -> None:
    """A batch that failed validation leaves its key free."""
    key = laurels.name("key")

    refused = _post(laurels, "/commands", {"type": "create-user"}, key)
    corrected = _post(laurels, "/commands", [{"type": "create-user"} | _user(laurels)], key)

    assert_problem(refused, 400, "invalid-input")
    assert_status(200, corrected)
    assert [201] == [result["status"] for result in corrected.json()]
