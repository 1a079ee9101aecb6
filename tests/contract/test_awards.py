"""Awards: making, listing and revoking them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from .helpers import (
    FORGOTTEN_ID,
    Body,
    Laurels,
    assert_problem,
    assert_status,
    award,
    award_at,
    awards_of,
    create_user,
    define_achievement,
    get,
    given_a_scene,
    in_threads,
    instant,
    position_of,
    revoke,
    send,
    translate,
    user_path,
    utc,
)

FIELDS = {
    "award_id",
    "user_id",
    "username",
    "user_language",
    "achievement_id",
    "achievement_name",
    "achievement_description",
    "achievement_language",
    "achievement_point",
    "awarded_at",
    "recorded_at",
}


def _award_by_name(laurels: Laurels, name: str) -> Body:
    username = create_user(laurels)["username"]
    path = user_path(username, "/achievements/")
    response = send(laurels, "POST", path, {"achievement_name": name})
    assert_status(201, response)
    body: Body = response.json()
    return body


def test_award_is_answered(laurels: Laurels) -> None:
    """An award is 201 with the user, the texts and the points."""
    user = create_user(laurels)
    feat = define_achievement(laurels, achievement_point=25)

    made = award(laurels, user["username"], feat["achievement_id"])

    assert set(made) == FIELDS
    for field in ("user_id", "username", "user_language"):
        assert user[field] == made[field], field
    for field in FIELDS & set(feat):
        assert feat[field] == made[field], field


def test_award_is_dated_now_by_default(laurels: Laurels) -> None:
    """Without awarded_at an award is made at the time of the request."""
    user, feat = create_user(laurels), define_achievement(laurels)

    made = award(laurels, user["username"], feat["achievement_id"])

    for field in ("awarded_at", "recorded_at"):
        assert abs(datetime.now(UTC) - instant(made[field])) < timedelta(minutes=1), field


def test_recorded_at_is_the_time_of_the_request(laurels: Laurels) -> None:
    """A late award says when it came to be known."""
    user, feat = create_user(laurels), define_achievement(laurels)

    made = award(
        laurels,
        user["username"],
        feat["achievement_id"],
        awarded_at="1999-12-31T23:59:59Z",
    )

    assert abs(datetime.now(UTC) - instant(made["recorded_at"])) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00.5", "2024-05-01T12:00:00.5Z"),
        ("2024-05-01T12:00:00+03:00", "2024-05-01T09:00:00Z"),
        ("2024-05-01T12:00:00-11:30", "2024-05-01T23:30:00Z"),
        ("2024-05-01T12:00:00.123456Z", "2024-05-01T12:00:00.123456Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("1900-02-28T23:59:59Z", "1900-02-28T23:59:59Z"),
    ],
)
def test_awarded_at_is_read_as_utc(laurels: Laurels, sent: str, meant: str) -> None:
    """Offsets are converted, no offset means UTC, and any past time is allowed."""
    user, feat = create_user(laurels), define_achievement(laurels)

    made = award(laurels, user["username"], feat["achievement_id"], awarded_at=sent)

    assert datetime.fromisoformat(meant) == instant(made["awarded_at"])


def test_no_offset_means_utc_even_elsewhere(laurels: Laurels) -> None:
    """The user's zone does not change what a time without an offset means."""
    user = create_user(laurels, user_timezone="Asia/Tokyo")
    feat = define_achievement(laurels)

    made = award(
        laurels,
        user["username"],
        feat["achievement_id"],
        awarded_at="2024-05-01T12:00:00",
    )

    assert datetime(2024, 5, 1, 12, tzinfo=UTC) == instant(made["awarded_at"])


def test_five_minutes_ahead_are_allowed(laurels: Laurels) -> None:
    """Clocks differ: up to five minutes ahead is taken, later is 400."""
    user, feat = create_user(laurels), define_achievement(laurels)
    path = user_path(user["username"], "/achievements/")
    body = {"achievement_id": feat["achievement_id"]}

    near = send(laurels, "POST", path, body | {"awarded_at": utc(timedelta(minutes=4))})
    far = send(laurels, "POST", path, body | {"awarded_at": utc(timedelta(minutes=6))})

    assert_status(201, near)
    assert_problem(far, 400, "invalid-input")


@pytest.mark.parametrize(
    ("user_exists", "body", "slug"),
    [
        (False, {"achievement_name": "{feat}"}, "unknown-user"),
        (True, {"achievement_id": FORGOTTEN_ID}, "unknown-achievement"),
        (True, {"achievement_name": "{feat} nowhere"}, "unknown-achievement"),
    ],
    ids=["user", "id", "name"],
)
def test_award_needs_a_user_and_an_achievement(laurels: Laurels, *, user_exists: bool, body: Body, slug: str) -> None:
    """What is not there is 404, and the problem says which."""
    feat = define_achievement(laurels)["achievement_name"]
    username = create_user(laurels)["username"] if user_exists else laurels.name("nobody")
    filled = {key: value.format(feat=feat) if isinstance(value, str) else value for key, value in body.items()}

    response = send(laurels, "POST", user_path(username, "/achievements/"), filled)

    assert_problem(response, 404, slug)


# By name


@pytest.mark.parametrize("change", [str, str.upper, str.lower])
def test_achievement_is_found_by_name(laurels: Laurels, change: type[str]) -> None:
    """A name does as well as an id, whatever its letter case."""
    feat = define_achievement(laurels, f"Éclair {laurels.name()}")

    made = _award_by_name(laurels, change(feat["achievement_name"]))

    assert feat["achievement_id"] == made["achievement_id"]


def test_achievement_is_found_by_a_translated_name(laurels: Laurels) -> None:
    """A name in any language leads to its achievement."""
    feat, name = define_achievement(laurels), laurels.name("перевод")
    translate(laurels, feat["achievement_id"], "ru", name)

    assert feat["achievement_id"] == _award_by_name(laurels, name)["achievement_id"]


def test_name_of_two_achievements_is_ambiguous(laurels: Laurels) -> None:
    """A name that means one thing in one language and another in another is 409."""
    name, user = laurels.name("feat"), create_user(laurels)
    define_achievement(laurels, name)
    define_achievement(laurels, name, achievement_language="ru")

    path = user_path(user["username"], "/achievements/")
    response = send(laurels, "POST", path, {"achievement_name": name})

    assert_problem(response, 409, "ambiguous-achievement-name")
    assert [] == awards_of(laurels, user["username"])


def test_name_of_one_achievement_in_two_languages_is_clear(laurels: Laurels) -> None:
    """A name that means the same in every language is not ambiguous."""
    feat = define_achievement(laurels)
    translate(laurels, feat["achievement_id"], "ru", feat["achievement_name"])

    made = _award_by_name(laurels, feat["achievement_name"])

    assert feat["achievement_id"] == made["achievement_id"]


# Texts


@pytest.mark.parametrize("language", ["en", "ru"])
def test_texts_are_in_the_language_of_the_user(laurels: Laurels, language: str) -> None:
    """Who reads Russian is told in Russian."""
    feat = define_achievement(laurels, achievement_description="Ran")
    name = laurels.name("пробег")
    translate(laurels, feat["achievement_id"], "ru", name, "Пробежал")
    user = create_user(laurels, user_language=language)
    wanted = {"en": (feat["achievement_name"], "Ran"), "ru": (name, "Пробежал")}[language]

    made = award(laurels, user["username"], feat["achievement_id"])

    for shown in (made, *awards_of(laurels, user["username"])):
        assert language == shown["achievement_language"]
        assert wanted == (shown["achievement_name"], shown["achievement_description"])


@pytest.mark.parametrize(("own", "users"), [("en", "ru"), ("ru", "en")])
def test_texts_fall_back_to_the_own_language(laurels: Laurels, own: str, users: str) -> None:
    """Without a translation the achievement's own language is shown, and named."""
    feat = define_achievement(laurels, achievement_language=own)
    user = create_user(laurels, user_language=users)

    made = award(laurels, user["username"], feat["achievement_id"])

    for shown in (made, *awards_of(laurels, user["username"])):
        assert (own, feat["achievement_name"]) == (
            shown["achievement_language"],
            shown["achievement_name"],
        )
        assert users == shown["user_language"]


def test_texts_follow_the_user_to_another_language(laurels: Laurels) -> None:
    """Awards are shown in the language that the user has now."""
    feat, name = define_achievement(laurels), laurels.name("перевод")
    user = create_user(laurels)
    translate(laurels, feat["achievement_id"], "ru", name)
    award(laurels, user["username"], feat["achievement_id"])

    send(laurels, "PATCH", user_path(user["username"]), {"user_language": "ru"})

    [shown] = awards_of(laurels, user["username"])
    assert ("ru", name) == (shown["achievement_language"], shown["achievement_name"])


def test_later_translation_is_shown(laurels: Laurels) -> None:
    """A translation that was missing at first is shown once it is there."""
    feat, name = define_achievement(laurels), laurels.name("перевод")
    user = create_user(laurels, user_language="ru")
    award(laurels, user["username"], feat["achievement_id"])

    translate(laurels, feat["achievement_id"], "ru", name)

    [shown] = awards_of(laurels, user["username"])
    assert ("ru", name) == (shown["achievement_language"], shown["achievement_name"])


# The list


def test_awards_are_listed_as_they_were_answered(laurels: Laurels) -> None:
    """The list holds the objects that were answered."""
    user, feat = create_user(laurels), define_achievement(laurels)

    made = award(laurels, user["username"], feat["achievement_id"])

    assert [made] == awards_of(laurels, user["username"])


def test_latest_award_is_listed_first(laurels: Laurels) -> None:
    """The list follows awarded_at, not the order of recording."""
    user, feat = create_user(laurels), define_achievement(laurels)
    days = [3, 1, 4, 2, 5]

    award_at(
        laurels,
        user["username"],
        feat["achievement_id"],
        *(f"2024-05-0{day}T12:00:00Z" for day in days),
    )

    listed = [instant(shown["awarded_at"]).day for shown in awards_of(laurels, user["username"])]
    assert [5, 4, 3, 2, 1] == listed


def test_user_without_awards_has_an_empty_list(laurels: Laurels) -> None:
    """No awards are [], not 404."""
    response = get(laurels, user_path(create_user(laurels)["username"], "/achievements/"))

    assert_status(200, response)
    assert [] == response.json()


def test_awards_of_an_unknown_user_are_404(laurels: Laurels) -> None:
    """Nobody has no list."""
    response = get(laurels, user_path(laurels.name("nobody"), "/achievements/"))

    assert_problem(response, 404, "unknown-user")


# Once only


def test_repeatable_achievement_can_be_held_twice(laurels: Laurels) -> None:
    """By default an achievement can be awarded again."""
    user, feat = create_user(laurels), define_achievement(laurels)

    ids = [award(laurels, user["username"], feat["achievement_id"])["award_id"] for _ in range(2)]

    assert ids[0] < ids[1]
    assert len(awards_of(laurels, user["username"])) == 2


def test_unrepeatable_achievement_is_held_once(laurels: Laurels) -> None:
    """A second award is 409, for the same user only."""
    feat = define_achievement(laurels, repeatable=False)["achievement_id"]
    user, other = create_user(laurels)["username"], create_user(laurels)["username"]
    award(laurels, user, feat)

    again = send(laurels, "POST", user_path(user, "/achievements/"), {"achievement_id": feat})

    assert_problem(again, 409, "already-awarded")
    assert len(awards_of(laurels, user)) == 1
    award(laurels, other, feat)


def test_simultaneous_awards_of_a_once_only_make_one(laurels: Laurels) -> None:
    """Of sixteen at once one is made."""
    feat = define_achievement(laurels, repeatable=False)["achievement_id"]
    user = create_user(laurels)["username"]
    path = user_path(user, "/achievements/")

    responses = in_threads([lambda: send(laurels, "POST", path, {"achievement_id": feat})] * 16)

    assert [201] + [409] * 15 == sorted(response.status_code for response in responses)
    assert len(awards_of(laurels, user)) == 1


# Revocation


@pytest.mark.parametrize("body", [None, {}, {"reason": "Ran the wrong way"}], ids=str)
def test_award_is_revoked(laurels: Laurels, body: Body | None) -> None:
    """A revocation, with or without a reason, is 204 and leaves the list."""
    scene = given_a_scene(laurels)

    response = send(laurels, "DELETE", scene.path("/users/{username}/achievements/{award_id}"), body)

    assert_status(204, response)
    assert response.content == b""
    assert position_of(response) > scene.position
    assert [] == awards_of(laurels, scene.username)


def test_other_awards_stay(laurels: Laurels) -> None:
    """A revocation takes one award of many."""
    scene = given_a_scene(laurels)
    kept = award(laurels, scene.username, scene.achievement_id)

    revoke(laurels, scene.username, scene.award_id)

    assert [kept] == awards_of(laurels, scene.username)


def test_revoked_award_is_unknown(laurels: Laurels) -> None:
    """An award cannot be revoked twice."""
    scene = given_a_scene(laurels)
    path = scene.path("/users/{username}/achievements/{award_id}")
    revoke(laurels, scene.username, scene.award_id)

    assert_problem(send(laurels, "DELETE", path), 404, "unknown-award")


def test_simultaneous_revocations_are_one(laurels: Laurels) -> None:
    """Of eight at once one revokes."""
    scene = given_a_scene(laurels)
    path = scene.path("/users/{username}/achievements/{award_id}")

    responses = in_threads([lambda: send(laurels, "DELETE", path)] * 8)

    assert [204] + [404] * 7 == sorted(response.status_code for response in responses)


def test_award_of_another_is_unknown(laurels: Laurels) -> None:
    """An award is found below its own user only, and stays."""
    scene, other = given_a_scene(laurels), create_user(laurels)

    response = send(
        laurels,
        "DELETE",
        user_path(other["username"], f"/achievements/{scene.award_id}"),
    )

    assert_problem(response, 404, "unknown-award")
    assert len(awards_of(laurels, scene.username)) == 1


@pytest.mark.parametrize("award_id", [FORGOTTEN_ID, 1])
def test_award_that_never_was_is_unknown(laurels: Laurels, award_id: int) -> None:
    """An id that names no award of the user is 404."""
    user = create_user(laurels)

    response = send(laurels, "DELETE", user_path(user["username"], f"/achievements/{award_id}"))

    assert_problem(response, 404, "unknown-award")


def test_award_of_an_unknown_user_is_404(laurels: Laurels) -> None:
    """Nobody has no awards to revoke."""
    response = send(laurels, "DELETE", user_path(laurels.name("nobody"), "/achievements/1"))

    assert_problem(response, 404, "unknown-user")


def test_revoked_once_only_can_be_awarded_again(laurels: Laurels) -> None:
    """After a revocation it is as if the award had never been made."""
    feat = define_achievement(laurels, repeatable=False)["achievement_id"]
    user = create_user(laurels)["username"]
    revoke(laurels, user, award(laurels, user, feat)["award_id"])

    again = award(laurels, user, feat)

    assert [again] == awards_of(laurels, user)
