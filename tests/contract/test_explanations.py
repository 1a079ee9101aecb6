"""Why this number: the events behind it, and the position at which it was reached."""

from __future__ import annotations

from itertools import chain
from uuid import UUID

import pytest

from .helpers import (
    Body,
    Laurels,
    assert_problem,
    assert_status,
    award,
    award_at,
    create_user,
    define_achievement,
    get,
    instant,
    next_url,
    revoke,
    send,
    user_path,
    utc,
    walk,
)


def _stats(laurels: Laurels, username: str) -> Body:
    response = get(laurels, user_path(username, "/stats/"))
    assert_status(200, response)
    body: Body = response.json()
    return body


def test_somebody_without_awards_has_stats(laurels: Laurels) -> None:
    """Who holds nothing stands at 0 since they were registered, and has no streak."""
    user = create_user(laurels)
    created = walk(laurels, user_path(user["username"], "/events/"))[0]["position"]

    assert {
        "user_id": user["user_id"],
        "username": user["username"],
        "total_achievements": 0,
        "total_achievements_position": created,
        "total_points": 0,
        "total_points_position": created,
        "streak_days": 0,
        "streak_started_on": None,
        "streak_ended_on": None,
        "streak_position": None,
        "current_streak_days": 0,
        "current_streak_position": None,
    } == _stats(laurels, user["username"])


def test_stats_name_the_award_that_changed_each_number(laurels: Laurels) -> None:
    """Each number has the position of the award that last changed it, of those that stand."""
    name = create_user(laurels)["username"]
    worthy = define_achievement(laurels, achievement_point=7)["achievement_id"]
    worthless = define_achievement(laurels, achievement_point=0)["achievement_id"]
    days = [f"2025-06-0{day}T12:00:00Z" for day in (1, 3, 2, 2, 7)]
    first, _, gap, again, apart = (made["award_id"] for made in award_at(laurels, name, worthy, *days))
    nothing = award(laurels, name, worthless, awarded_at="2025-05-01T12:00:00Z")["award_id"]
    today = award(laurels, name, worthless, awarded_at=utc())["award_id"]

    found = _stats(laurels, name)

    assert (7, today) == (found["total_achievements"], found["total_achievements_position"])
    assert (35, apart) == (found["total_points"], found["total_points_position"])
    assert ("2025-06-01", "2025-06-03") == (found["streak_started_on"], found["streak_ended_on"])
    assert (3, gap) == (found["streak_days"], found["streak_position"])
    assert (1, today) == (found["current_streak_days"], found["current_streak_position"])

    for award_id in (today, gap, apart):
        revoke(laurels, name, award_id)
    found = _stats(laurels, name)

    assert (4, nothing) == (found["total_achievements"], found["total_achievements_position"])
    assert (21, again) == (found["total_points"], found["total_points_position"])
    assert (3, again) == (found["streak_days"], found["streak_position"])
    assert (0, None) == (found["current_streak_days"], found["current_streak_position"])
    assert first < again


def test_events_are_all_that_happened_to_a_user(laurels: Laurels) -> None:
    """Every event of the user is listed with what it says, oldest first, and nobody else's."""
    user = create_user(laurels)
    name, feat = user["username"], define_achievement(laurels)["achievement_id"]
    award(laurels, create_user(laurels)["username"], feat)
    made = award(laurels, name, feat)
    revoke(laurels, name, made["award_id"])
    send(laurels, "PATCH", user_path(name), {"user_language": "ru"})

    listed = walk(laurels, user_path(name, "/events/"))

    types = ["user-created", "achievement-awarded", "award-revoked", "user-changed"]
    assert types == [event["type"] for event in listed]
    positions = [event["position"] for event in listed]
    assert sorted(set(positions)) == positions
    assert made["award_id"] == positions[1] == listed[2]["data"]["award_id"]
    assert made["recorded_at"] == listed[1]["recorded_at"]
    assert ["en", "ru"] == [listed[number]["data"]["user_language"] for number in (0, 3)]
    assert {"position", "event_id", "type", "schema_version", "recorded_at", "data"} == set(listed[0])
    for event in listed:
        assert str(UUID(event["event_id"])) == event["event_id"]
        assert instant(event["recorded_at"])
        assert {1} == {event["schema_version"]}
        assert user["user_id"] == event["data"]["user_id"]


def test_events_come_in_pages(laurels: Laurels) -> None:
    """Every event is met once, also when more come while the pages are walked."""
    name = create_user(laurels)["username"]
    feat = define_achievement(laurels)["achievement_id"]
    award_at(laurels, name, feat, *["2025-06-01T12:00:00Z"] * 4)
    path = user_path(name, "/events")

    page = get(laurels, path, params={"limit": 3})
    award(laurels, name, feat)
    pages = [[event["position"] for event in page.json()]]
    while following := next_url(page):
        page = laurels.http.get(following)
        assert_status(200, page)
        pages.append([event["position"] for event in page.json()])

    assert [3, 3] == [len(listed) for listed in pages]
    assert [event["position"] for event in walk(laurels, path)] == list(chain.from_iterable(pages))


@pytest.mark.parametrize("below", ["/events", "/stats", "/events/", "/stats/"])
def test_nobody_has_neither(laurels: Laurels, below: str) -> None:
    """A name that nobody has is 404."""
    assert_problem(get(laurels, user_path(laurels.name("nobody"), below)), 404, "unknown-user")


@pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "101"}, {"cursor": "x"}, {"days": "7"}])
def test_bad_parameters_of_events_are_refused(laurels: Laurels, params: dict[str, str]) -> None:
    """Events are paged by the rules of all lists."""
    name = create_user(laurels)["username"]

    assert_problem(get(laurels, user_path(name, "/events"), params=params), 400, "invalid-input")


def test_a_name_is_found_in_any_case(laurels: Laurels) -> None:
    """Users are found as everywhere, whatever the case of the letters."""
    name = create_user(laurels)["username"]

    assert name == _stats(laurels, name.upper())["username"]
