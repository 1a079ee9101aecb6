"""Positions: what was written, what is seen, and waiting for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    FORGOTTEN_ID,
    READ_PATHS,
    FreshLaurels,
    Laurels,
    assert_problem,
    assert_status,
    award,
    create_user,
    define_achievement,
    eventually,
    get,
    given_a_scene,
    in_threads,
    position_of,
    send,
    user_path,
)

if TYPE_CHECKING:
    import httpx


def _new_user(laurels: Laurels, **headers: str) -> httpx.Response:
    body = {"username": laurels.name(), "user_language": "en"}
    return laurels.http.post(
        "/api/v1/users/",
        json=body,
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )


def test_every_command_answers_with_its_position(laurels: Laurels) -> None:
    """Positions of later commands are higher, whatever the command."""
    name, feat = laurels.name(), laurels.name("feat")
    texts = {"achievement_name": feat, "achievement_description": ""}

    user = send(laurels, "POST", "/users/", {"username": name, "user_language": "en"})
    changed = send(laurels, "PATCH", user_path(name), {"user_language": "ru"})
    defined = send(laurels, "POST", "/users/achievements", texts | {"achievement_language": "en"})
    achievement_id = defined.json()["achievement_id"]
    translation = f"/users/achievements/{achievement_id}/translations/ru"
    translated = send(laurels, "PUT", translation, texts)
    achievements = user_path(name, "/achievements/")
    awarded = send(laurels, "POST", achievements, {"achievement_id": achievement_id})
    revoked = send(laurels, "DELETE", f"{achievements}{awarded.json()['award_id']}")
    command = {"type": "create-user", "username": laurels.name(), "user_language": "en"}
    several = send(laurels, "POST", "/commands", [command])

    responses = [user, changed, defined, translated, awarded, revoked, several]
    positions = [position_of(response) for response in responses]
    assert sorted(set(positions)) == positions
    assert {"true", "false"} >= {response.headers["Event-Applied"] for response in responses}


@pytest.mark.parametrize("path", ["/users/{}", "/users/{}/achievements", "/users/{}/stats", "/users/{}/events"])
def test_what_is_missing_says_up_to_where_it_was_looked_for(laurels: Laurels, path: str) -> None:
    """A 404 tells "not there" from "not there yet" by its Read-Position."""
    position = position_of(_new_user(laurels))
    wait = {"Prefer": "wait=10"}
    missing = get(laurels, path.format(laurels.name()), params={"min_position": position}, headers=wait)
    assert_status(404, missing)
    assert position <= position_of(missing, "Read-Position")


def test_position_of_a_batch_is_that_of_its_last_event(laurels: Laurels) -> None:
    """The last award of a batch is at the position of the batch."""
    scene = given_a_scene(laurels)
    command = {
        "type": "award-achievement",
        "username": scene.username,
        "achievement_id": scene.achievement_id,
    }

    response = send(laurels, "POST", "/commands", [command] * 3)

    assert position_of(response) == response.json()[-1]["body"]["award_id"]


def test_award_is_named_after_its_position(laurels: Laurels) -> None:
    """The id of an award is the position of its event."""
    scene = given_a_scene(laurels)

    assert scene.position == scene.award_id


@pytest.mark.parametrize("template", READ_PATHS)
def test_every_read_answers_with_its_position(laurels: Laurels, template: str) -> None:
    """What was written before is in what is read, and the position says so."""
    scene = given_a_scene(laurels)

    response = get(laurels, scene.path(template))

    assert_status(200, response)
    assert position_of(response, "Read-Position") >= scene.position


@pytest.mark.parametrize("template", READ_PATHS)
def test_every_read_waits_for_a_position(laurels: Laurels, template: str) -> None:
    """A position that is reached is answered at once."""
    scene = given_a_scene(laurels)

    response = get(
        laurels,
        scene.path(template),
        params={"min_position": scene.position},
        headers={"Prefer": "wait=10"},
    )

    assert_status(200, response)
    assert position_of(response, "Read-Position") >= scene.position


def test_client_sees_its_own_write(laurels: Laurels) -> None:
    """A command that says it was applied is seen by the very next read."""
    for _ in range(5):
        created = _new_user(laurels)
        assert_status(201, created)
        if created.headers["Event-Applied"] == "true":
            assert_status(200, get(laurels, user_path(created.json()["username"])))
            return
    pytest.fail("none of five commands was applied within a second")


def test_respond_async_is_seen_by_position(laurels: Laurels) -> None:
    """A command that did not wait is seen by a read that does."""
    created = _new_user(laurels, Prefer="respond-async")

    assert_status(201, created)
    seen = get(
        laurels,
        user_path(created.json()["username"]),
        params={"min_position": position_of(created)},
        headers={"Prefer": "wait=10"},
    )
    assert_status(200, seen)


@pytest.mark.parametrize("prefer", ["wait=1, respond-async", "respond-async;x=1", "nonsense"])
def test_preferences_never_refuse_a_command(laurels: Laurels, prefer: str) -> None:
    """Prefer is a wish: what is not understood is ignored."""
    assert_status(201, _new_user(laurels, Prefer=prefer))


def test_wait_that_runs_out_is_503(laurels: Laurels) -> None:
    """A position that does not come is waited for, then 503 says when to retry."""
    params = {"min_position": FORGOTTEN_ID}
    started = time.monotonic()

    response = get(laurels, "/users/", params=params, headers={"Prefer": "wait=2"})

    assert_problem(response, 503)
    assert response.headers["Retry-After"].isdecimal()
    assert 1.8 <= time.monotonic() - started <= 6


def test_wait_is_one_second_by_default(laurels: Laurels) -> None:
    """Without a preference a read waits a second."""
    scene = given_a_scene(laurels)
    started = time.monotonic()

    response = get(laurels, scene.path("/users/{username}/"), params={"min_position": FORGOTTEN_ID})

    assert_problem(response, 503)
    assert 0.8 <= time.monotonic() - started <= 5


def test_read_is_answered_when_its_position_comes(laurels: Laurels) -> None:
    """A waiting read returns with the write that it waits for."""
    latest = position_of(get(laurels, "/users/", params={"limit": 1}), "Read-Position")
    wanted = {"limit": 1, "min_position": latest + 1}

    def read() -> httpx.Response:
        return get(laurels, "/users/", params=wanted, headers={"Prefer": "wait=10"})

    seen, _ = in_threads([read, lambda: _new_user(laurels)])

    assert_status(200, seen)
    assert position_of(seen, "Read-Position") > latest


def test_position_zero_is_always_reached(laurels: Laurels) -> None:
    """To want no position in particular is to want what there is."""
    assert_status(200, get(laurels, "/users/", params={"min_position": 0, "limit": 1}))


def test_lag_and_loss_are_told(fresh_laurels: FreshLaurels) -> None:
    """Reads that lag and a database that is gone are told, never hidden."""
    laurels = fresh_laurels()
    if not (laurels.can_pause or laurels.can_stop_database):
        pytest.skip("this deployment can be neither paused nor broken")
    if laurels.can_pause:
        _check_lag(laurels)
    if laurels.can_stop_database:
        _check_loss(laurels)


def _check_lag(laurels: Laurels) -> None:
    laurels.stop_projection()
    try:
        created = _check_command_waits_a_second(laurels)
        _check_respond_async_does_not_wait(laurels)
        _check_read_gives_up(laurels, position_of(created))
        _check_decisions_do_not_lag(laurels, created.json()["username"])
    finally:
        laurels.resume_projection()
    _check_read_catches_up(laurels, created)


def _check_command_waits_a_second(laurels: Laurels) -> httpx.Response:
    started = time.monotonic()
    created = _new_user(laurels)
    assert_status(201, created)
    assert created.headers["Event-Applied"] == "false"
    assert 0.8 <= time.monotonic() - started <= 5
    return created


def _check_respond_async_does_not_wait(laurels: Laurels) -> None:
    started = time.monotonic()
    created = _new_user(laurels, Prefer="respond-async")
    assert_status(201, created)
    assert created.headers.get("Event-Applied", "false") == "false"
    assert time.monotonic() - started < 0.8, "respond-async waited"


def _check_read_gives_up(laurels: Laurels, position: int) -> None:
    behind = get(laurels, "/users/", params={"min_position": position})
    assert_problem(behind, 503)
    assert behind.headers["Retry-After"].isdecimal()


def _check_decisions_do_not_lag(laurels: Laurels, username: str) -> None:
    quick = {"Prefer": "respond-async"}
    body = {"username": username.upper(), "user_language": "en"}
    taken = laurels.http.post("/api/v1/users/", json=body, headers=quick)
    assert_problem(taken, 409, "username-taken")
    changed = laurels.http.patch(f"/api/v1/users/{username}/", json={"user_language": "ru"}, headers=quick)
    assert_status(200, changed)
    assert changed.json()["user_language"] == "ru"


def _check_read_catches_up(laurels: Laurels, created: httpx.Response) -> None:
    seen = get(
        laurels,
        user_path(created.json()["username"]),
        params={"min_position": position_of(created)},
        headers={"Prefer": "wait=10"},
    )
    assert_status(200, seen)


def _check_loss(laurels: Laurels) -> None:
    user = create_user(laurels)
    achievement = define_achievement(laurels)
    award(laurels, user["username"], achievement["achievement_id"])
    laurels.stop_database()

    lost = eventually(lambda: _if_status(503, laurels.http.get("/api/v1/users/")))
    assert lost is not None, "reads did not become 503"
    assert_problem(lost, 503)
    assert lost.headers["Retry-After"].isdecimal()
    unready = eventually(lambda: _if_status(503, laurels.http.get("/ready")))
    assert unready is not None, "/ready did not become 503"
    assert "database" in unready.text.lower(), "what is missing is not said"
    refused = _new_user(laurels)
    assert_problem(refused, 503)
    assert refused.headers["Retry-After"].isdecimal()
    assert_status(200, laurels.http.get("/health"))


def _if_status(status: int, response: httpx.Response) -> httpx.Response | None:
    return response if response.status_code == status else None
