"""Users: registering, reading and changing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    Laurels,
    assert_problem,
    assert_status,
    award,
    create_user,
    define_achievement,
    get,
    in_threads,
    instant,
    send,
    user_path,
)

if TYPE_CHECKING:
    import httpx

FIELDS = {
    "user_id",
    "username",
    "user_language",
    "user_timezone",
    "created_at",
    "updated_at",
}


def test_registered_user_is_answered(laurels: Laurels) -> None:
    """A new user is 201, with the whole object and where to find it."""
    name = laurels.name()

    response = send(laurels, "POST", "/users/", {"username": name, "user_language": "ru"})

    assert_status(201, response)
    user = response.json()
    assert set(user) == FIELDS
    assert (name, "ru", "UTC") == (
        user["username"],
        user["user_language"],
        user["user_timezone"],
    )
    assert 0 < user["user_id"] < 2**53
    assert response.headers["Location"].rstrip("/").endswith(f"/users/{name}")


def test_registration_is_dated_now(laurels: Laurels) -> None:
    """A user is created, and last updated, at the time of the request."""
    user = create_user(laurels)

    created = instant(user["created_at"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert user["created_at"] == user["updated_at"]


def test_location_leads_to_the_user(laurels: Laurels) -> None:
    """Location can be followed, whatever the name is made of."""
    name = f"{laurels.name()} é?#%&+ Ж"

    response = send(laurels, "POST", "/users/", {"username": name, "user_language": "en"})
    found = laurels.http.get(response.headers["Location"])

    assert_status(200, found)
    assert response.json() == found.json()


def test_user_is_read_as_registered(laurels: Laurels) -> None:
    """GET gives the object that POST gave."""
    user = create_user(laurels, user_timezone="Europe/Moscow")

    response = get(laurels, user_path(user["username"]))

    assert_status(200, response)
    assert user == response.json()


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Pacific/Kiritimati", "America/Argentina/Buenos_Aires", "Etc/GMT+12"],
)
def test_any_iana_zone_is_taken(laurels: Laurels, zone: str) -> None:
    """The zone is kept as it was named."""
    assert zone == create_user(laurels, user_timezone=zone)["user_timezone"]


def test_unknown_user_is_404(laurels: Laurels) -> None:
    """A user that was never registered cannot be read or changed."""
    path = user_path(laurels.name("nobody"))

    assert_problem(get(laurels, path), 404, "unknown-user")
    changed = send(laurels, "PATCH", path, {"user_language": "ru"})
    assert_problem(changed, 404, "unknown-user")


def test_username_is_unique(laurels: Laurels) -> None:
    """A name is taken whatever its letter case."""
    name = create_user(laurels)["username"]

    for again in (name, name.upper(), name.title()):
        body = {"username": again, "user_language": "en"}
        assert_problem(send(laurels, "POST", "/users/", body), 409, "username-taken")


def test_simultaneous_registrations_make_one_user(laurels: Laurels) -> None:
    """Of sixteen at once one is taken, and the rest are refused."""
    name = laurels.name()

    def register(username: str) -> httpx.Response:
        body = {"username": username, "user_language": "en"}
        return send(laurels, "POST", "/users/", body)

    one, other = partial(register, name), partial(register, name.upper())
    responses = in_threads([one, other] * 8)

    assert [201] + [409] * 15 == sorted(response.status_code for response in responses)


def test_user_ids_rise(laurels: Laurels) -> None:
    """A later user has a higher id."""
    ids = [create_user(laurels)["user_id"] for _ in range(3)]

    assert sorted(set(ids)) == ids


# Changing


@pytest.mark.parametrize(("field", "value"), [("user_language", "ru"), ("user_timezone", "Asia/Tokyo")])
def test_one_field_is_changed(laurels: Laurels, field: str, value: str) -> None:
    """PATCH changes what it names, moves updated_at and leaves the rest."""
    before = create_user(laurels)

    response = send(laurels, "PATCH", user_path(before["username"]), {field: value})

    assert_status(200, response)
    after = response.json()
    assert before | {field: value, "updated_at": after["updated_at"]} == after
    assert instant(after["updated_at"]) > instant(before["updated_at"])
    assert after == get(laurels, user_path(before["username"])).json()


def test_all_fields_are_changed_at_once(laurels: Laurels) -> None:
    """Name, language and zone can change together."""
    before, name = create_user(laurels), laurels.name()
    changes = {"username": name, "user_language": "ru", "user_timezone": "Asia/Tokyo"}

    response = send(laurels, "PATCH", user_path(before["username"]), changes)

    assert_status(200, response)
    assert changes == {field: response.json()[field] for field in changes}
    assert before["user_id"] == response.json()["user_id"]


def test_renamed_user_leaves_the_old_name(laurels: Laurels) -> None:
    """After a rename the new name is found, and the old one is free."""
    user, name = create_user(laurels), laurels.name()

    send(laurels, "PATCH", user_path(user["username"]), {"username": name})

    assert user["user_id"] == get(laurels, user_path(name)).json()["user_id"]
    assert_problem(get(laurels, user_path(user["username"])), 404, "unknown-user")
    assert user["user_id"] != create_user(laurels, user["username"])["user_id"]


def test_renamed_user_keeps_the_awards(laurels: Laurels) -> None:
    """Awards belong to the user, not to the name."""
    user, name = create_user(laurels), laurels.name()
    held = award(laurels, user["username"], define_achievement(laurels)["achievement_id"])

    send(laurels, "PATCH", user_path(user["username"]), {"username": name})

    [listed] = get(laurels, user_path(name, "/achievements/")).json()
    assert (held["award_id"], name) == (listed["award_id"], listed["username"])


def test_rename_to_a_taken_name_is_409(laurels: Laurels) -> None:
    """A rename meets the rule of unique names, and changes nothing else then."""
    user, other = create_user(laurels), create_user(laurels)
    changes = {"username": other["username"].upper(), "user_language": "ru"}

    response = send(laurels, "PATCH", user_path(user["username"]), changes)

    assert_problem(response, 409, "username-taken")
    assert user == get(laurels, user_path(user["username"])).json()


def test_letter_case_of_the_own_name_can_change(laurels: Laurels) -> None:
    """A user does not collide with itself."""
    user = create_user(laurels)
    name = user["username"].upper()

    response = send(laurels, "PATCH", user_path(user["username"]), {"username": name})

    assert_status(200, response)
    assert name == get(laurels, user_path(user["username"])).json()["username"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user_language": None},
        {"user_timezone": None},
        {"username": None},
        {"username": ""},
        {"username": "achievements"},
        {"username": "a/b"},
        {"username": "x" * 65},
        {"user_id": 1},
        {"created_at": "2024-01-01T00:00:00Z"},
        {"user_language": "ru", "nonsense": 1},
    ],
    ids=str,
)
def test_bad_change_is_400(laurels: Laurels, changes: dict[str, object]) -> None:
    """Nothing, null, the immutable and the unknown are refused; nothing changes."""
    user = create_user(laurels)

    response = send(laurels, "PATCH", user_path(user["username"]), changes)

    assert_problem(response, 400, "invalid-input")
    assert user == get(laurels, user_path(user["username"])).json()
