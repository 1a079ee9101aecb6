"""Streaks: runs of days, in the time zone in force when each award was recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from .helpers import (
    Body,
    Laurels,
    assert_status,
    award_at,
    create_user,
    define_achievement,
    get,
    revoke,
    send,
    streak_of,
    user_path,
)

STREAK = "/users/achievements-stats/streak/"


def _given_awards(laurels: Laurels, *times: str, zone: str = "UTC") -> str:
    username: str = create_user(laurels, user_timezone=zone)["username"]
    _add_awards(laurels, username, *times)
    return username


def _add_awards(laurels: Laurels, username: str, *times: str) -> list[Body]:
    achievement_id = define_achievement(laurels)["achievement_id"]
    return award_at(laurels, username, achievement_id, *times)


def _may(*days: int) -> list[str]:
    return [f"2024-05-{day:02}T12:00:00Z" for day in days]


def _run(streak: Body | None) -> tuple[int, str, str]:
    assert streak is not None, "the streak is not listed"
    return streak["streak_days"], streak["streak_started_on"], streak["streak_ended_on"]


def test_streak_is_a_run_of_days(laurels: Laurels) -> None:
    """Consecutive days make a streak, which is listed with its user and its ends."""
    user = create_user(laurels)
    _add_awards(laurels, user["username"], *_may(1, 2, 3))

    streak = streak_of(laurels, user["username"])

    wanted = {
        "user_id": user["user_id"],
        "username": user["username"],
        "streak_days": 3,
        "streak_started_on": "2024-05-01",
        "streak_ended_on": "2024-05-03",
        "current_streak_days": 0,
    }
    assert wanted == streak


@pytest.mark.parametrize(
    ("days", "run"),
    [
        ((3, 1, 2), (3, "2024-05-01", "2024-05-03")),
        ((1, 1, 1, 2, 2), (2, "2024-05-01", "2024-05-02")),
        ((1, 2, 4, 5, 6), (3, "2024-05-04", "2024-05-06")),
        ((1, 2, 3, 5, 6), (3, "2024-05-01", "2024-05-03")),
        ((10, 11, 1, 2), (2, "2024-05-01", "2024-05-02")),
        ((1, 2, 4, 5, 3), (5, "2024-05-01", "2024-05-05")),
    ],
    ids=[
        "unordered",
        "repeated",
        "later run",
        "earlier run",
        "equal runs",
        "late award",
    ],
)
def test_longest_run_is_listed(laurels: Laurels, days: tuple[int, ...], run: tuple[int, str, str]) -> None:
    """The longest run counts, the earliest of equals, in whatever order it came."""
    username = _given_awards(laurels, *_may(*days))

    assert run == _run(streak_of(laurels, username))


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2024-02-28", "2024-03-01", 3),
        ("2023-02-28", "2023-03-01", 2),
        ("2023-12-31", "2024-01-01", 2),
    ],
    ids=["leap year", "common year", "new year"],
)
def test_days_follow_the_calendar(laurels: Laurels, first: str, last: str, days: int) -> None:
    """Months and years end where the calendar ends them."""
    start = date.fromisoformat(first)
    times = [f"{start + timedelta(days=i)}T12:00:00Z" for i in range(days)]

    username = _given_awards(laurels, *times)

    assert (days, first, last) == _run(streak_of(laurels, username))


def test_days_apart_are_no_streak(laurels: Laurels) -> None:
    """Days with a gap are runs of one, which no list of streaks shows."""
    username = _given_awards(laurels, *_may(1, 3, 5))

    assert streak_of(laurels, username) is None


# Revocation


def test_revoked_award_splits_a_streak(laurels: Laurels) -> None:
    """A day that lost its only award is a gap."""
    username = _given_awards(laurels, *_may(1, 2, 4, 5))
    [middle] = _add_awards(laurels, username, *_may(3))

    revoke(laurels, username, middle["award_id"])

    assert (2, "2024-05-01", "2024-05-02") == _run(streak_of(laurels, username))


def test_day_with_another_award_stays(laurels: Laurels) -> None:
    """A day counts as long as one of its awards is left."""
    username = _given_awards(laurels, *_may(1, 2, 3))
    [second] = _add_awards(laurels, username, *_may(2))

    revoke(laurels, username, second["award_id"])

    assert (3, "2024-05-01", "2024-05-03") == _run(streak_of(laurels, username))


def test_user_without_streak_is_not_listed(laurels: Laurels) -> None:
    """When the awards are gone, so is the streak."""
    username = create_user(laurels)["username"]

    for made in _add_awards(laurels, username, *_may(1, 2)):
        revoke(laurels, username, made["award_id"])

    assert streak_of(laurels, username) is None


# Time zones


@pytest.mark.parametrize(
    ("zone", "times", "run"),
    [
        (
            "Pacific/Kiritimati",
            ("2024-03-01T09:59:59Z", "2024-03-01T10:00:00Z"),
            (2, "2024-03-01", "2024-03-02"),
        ),
        (
            "America/Los_Angeles",
            ("2024-03-01T07:59:59Z", "2024-03-01T08:00:00Z"),
            (2, "2024-02-29", "2024-03-01"),
        ),
        (
            "Asia/Kathmandu",
            ("2024-03-01T18:14:59Z", "2024-03-01T18:15:00Z"),
            (2, "2024-03-01", "2024-03-02"),
        ),
        (
            "UTC",
            ("2024-03-01T23:59:59.999999Z", "2024-03-02T00:00:00Z"),
            (2, "2024-03-01", "2024-03-02"),
        ),
        (
            "America/New_York",
            ("2024-03-09T05:00:00Z", "2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z"),
            (3, "2024-03-09", "2024-03-11"),
        ),
        (
            "America/New_York",
            ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"),
            (2, "2024-11-03", "2024-11-04"),
        ),
    ],
    ids=[
        "Kiritimati",
        "Los Angeles",
        "Kathmandu",
        "UTC",
        "spring forward",
        "fall back",
    ],
)
def test_day_is_that_of_the_user(
    laurels: Laurels, zone: str, times: tuple[str, ...], run: tuple[int, str, str]
) -> None:
    """A day begins at midnight where the user is, summer time included."""
    username = _given_awards(laurels, *times, zone=zone)

    assert run == _run(streak_of(laurels, username))


@pytest.mark.parametrize(
    ("zone", "times"),
    [
        ("UTC", ("2024-03-01T09:59:59Z", "2024-03-01T10:00:00Z")),
        ("Pacific/Kiritimati", ("2024-03-01T23:59:59Z", "2024-03-02T00:00:00Z")),
        ("America/New_York", ("2024-03-10T04:30:00Z", "2024-03-11T04:30:00Z")),
        ("America/New_York", ("2024-11-03T04:30:00Z", "2024-11-04T04:30:00Z")),
    ],
    ids=["UTC", "Kiritimati", "24 hours skip a day", "24 hours within a day"],
)
def test_moments_that_look_consecutive_are_not(laurels: Laurels, zone: str, times: tuple[str, ...]) -> None:
    """What is two days elsewhere, or 24 hours apart, need not be two days here."""
    username = _given_awards(laurels, *times, zone=zone)

    assert streak_of(laurels, username) is None


def test_zone_is_fixed_when_an_award_is_recorded(laurels: Laurels) -> None:
    """A user who moves keeps the days of before; new awards have the new zone."""
    username = _given_awards(laurels, "2024-05-01T12:00:00Z")

    send(laurels, "PATCH", user_path(username), {"user_timezone": "Pacific/Kiritimati"})
    _add_awards(laurels, username, "2024-05-01T12:00:00Z")

    assert (2, "2024-05-01", "2024-05-02") == _run(streak_of(laurels, username))


def test_offset_of_the_award_is_not_a_zone(laurels: Laurels) -> None:
    """The day is the user's, whatever offset the time was written with."""
    username = _given_awards(laurels, "2024-05-01T23:00:00+14:00", "2024-05-02T00:30:00+14:00")

    assert streak_of(laurels, username) is None


# Parameters


def test_week_is_the_default(laurels: Laurels) -> None:
    """Without days, seven are wanted."""
    week, less = (
        _given_awards(laurels, *_may(*range(1, 8))),
        _given_awards(laurels, *_may(1, 2)),
    )

    response = get(laurels, STREAK, params={"limit": 100})

    assert_status(200, response)
    assert streak_of(laurels, week, days=7) is not None
    assert all(streak["streak_days"] >= 7 for streak in response.json())
    assert less not in {streak["username"] for streak in response.json()}


@pytest.mark.parametrize(("days", "listed"), [(2, True), (4, True), (5, False), (366, False)])
def test_days_are_a_minimum(laurels: Laurels, *, days: int, listed: bool) -> None:
    """Users with at least that many days are listed."""
    username = _given_awards(laurels, *_may(1, 2, 3, 4))

    assert listed == (streak_of(laurels, username, days=days) is not None)


def test_year_of_days_is_a_streak(laurels: Laurels) -> None:
    """The longest minimum, a leap year, can be met."""
    start = date(2023, 7, 1)
    times = [f"{start + timedelta(days=i)}T12:00:00Z" for i in range(366)]

    username = _given_awards(laurels, *times)

    streak = streak_of(laurels, username, days=366)
    assert (366, "2023-07-01", "2024-06-30") == _run(streak)


def test_nobody_is_an_empty_list(laurels: Laurels) -> None:
    """No such user is [], not 404."""
    response = get(laurels, STREAK, params={"days": 366, "mode": "current"})

    assert_status(200, response)
    assert [] == response.json()


# Current


def _calm_zone() -> str:
    """Choose a zone where no midnight comes during the test."""
    return "UTC" if 1 <= datetime.now(UTC).hour < 23 else "Asia/Tokyo"


def _days_ago(zone: str, *ago: int) -> list[str]:
    """Write noon, there, of so many days ago; of today, a minute ago."""
    now = datetime.now(ZoneInfo(zone))
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    times = [noon - timedelta(days=days) if days else now - timedelta(minutes=1) for days in ago]
    return [moment.astimezone(UTC).isoformat() for moment in times]


@pytest.mark.parametrize(
    ("ago", "current"),
    [((0, 1, 2), 3), ((1, 2), 2), ((2, 3), 0), ((2, 3, 4, 5), 0), ((0, 1, 5, 6, 7), 2)],
    ids=["today", "yesterday", "the day before", "long over", "shorter than before"],
)
def test_current_streak_reaches_today_or_yesterday(laurels: Laurels, ago: tuple[int, ...], current: int) -> None:
    """A run is current until a whole day has passed without an award."""
    zone = _calm_zone()
    username = _given_awards(laurels, *_days_ago(zone, *ago), zone=zone)

    longest = streak_of(laurels, username)
    listed = streak_of(laurels, username, mode="current")

    assert longest is not None
    assert current == longest["current_streak_days"]
    assert current == (listed["streak_days"] if listed else 0)
    assert listed is None or current == listed["current_streak_days"]


def test_current_mode_shows_the_current_run(laurels: Laurels) -> None:
    """A longer run of before is the longest, but not the current."""
    zone = _calm_zone()
    username = _given_awards(laurels, *_days_ago(zone, 0, 1, 5, 6, 7), zone=zone)
    today = datetime.now(ZoneInfo(zone)).date()
    past, present = today - timedelta(days=7), today - timedelta(days=1)

    longest = streak_of(laurels, username)
    current = streak_of(laurels, username, mode="current")

    assert (3, str(past), str(past + timedelta(days=2))) == _run(longest)
    assert (2, str(present), str(today)) == _run(current)


def test_days_are_a_minimum_of_the_current_run(laurels: Laurels) -> None:
    """With mode=current it is the current run that has to be long enough."""
    zone = _calm_zone()
    username = _given_awards(laurels, *_days_ago(zone, 0, 1, 5, 6, 7), zone=zone)

    assert streak_of(laurels, username, days=3) is not None
    assert streak_of(laurels, username, days=3, mode="current") is None


def test_yesterday_is_where_the_user_is(laurels: Laurels) -> None:
    """Far west, yesterday lasts longer than it does in UTC."""
    west = ("Pacific/Pago_Pago", "Pacific/Honolulu")
    zone = next(zone for zone in west if datetime.now(ZoneInfo(zone)).hour < 23)

    username = _given_awards(laurels, *_days_ago(zone, 1, 2), zone=zone)

    assert streak_of(laurels, username, mode="current") is not None


def test_day_before_yesterday_is_where_the_user_is(laurels: Laurels) -> None:
    """Far east, a streak is over sooner than it is in UTC."""
    zone = "Pacific/Kiritimati"

    username = _given_awards(laurels, *_days_ago(zone, 2, 3), zone=zone)

    assert streak_of(laurels, username) is not None
    assert streak_of(laurels, username, mode="current") is None
