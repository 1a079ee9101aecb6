"""Going back in time: what was the case at a moment, and what had been recorded by then."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    FORGOTTEN_ID,
    Body,
    FreshLaurels,
    Laurels,
    assert_problem,
    assert_status,
    award,
    award_at,
    create_user,
    define_achievement,
    get,
    position_of,
    revoke,
    send,
    user_path,
    utc,
    walk,
)

if TYPE_CHECKING:
    import httpx

STATS = "/users/achievements-stats"
STATISTICS = ("max-count", "max-points", "max-min-difference", "streak")
LAST_YEAR = "2025-06-0{}T12:00:00Z"


@pytest.fixture(scope="module")
def life(laurels: Laurels) -> Life:
    """Share one life among the tests, which only read it."""
    return Life(laurels)


class Life:
    """A user who leads by so many points that nobody else of the instance matters, and whom the tests change."""

    def __init__(self, laurels: Laurels) -> None:
        self.laurels = laurels
        self.before = position_of(get(laurels, "/users/"), "Read-Position")
        self.started = utc()
        user = create_user(laurels)
        self.user_id, self.username = user["user_id"], user["username"]
        achievement = define_achievement(laurels, achievement_point=1_000_000)["achievement_id"]
        times = [LAST_YEAR.format(day) for day in (1, 2, 3, 5)]
        self.awards = [made["award_id"] for made in award_at(laurels, self.username, achievement, *times)]
        self.awarded = self.awards[-1]
        self.moment = utc()
        self.revoked = position_of(revoke(laurels, self.username, self.awards[1]))
        self.new_name = laurels.name("renamed")
        renamed = send(laurels, "PATCH", user_path(self.username), {"username": self.new_name})
        assert_status(200, renamed)
        self.renamed = position_of(renamed)

    def leader(self, **params: str | int) -> Body:
        """Ask who has most points."""
        response = get(self.laurels, f"{STATS}/max-points/", params=params)
        assert_status(200, response)
        body: Body = response.json()
        return body

    def points(self, **params: str | int) -> int:
        """Tell the millions of points that the leader has, who has to be this user."""
        leader = self.leader(**params)
        assert self.user_id == leader["user_id"], leader
        return int(leader["total_points"]) // 1_000_000


def test_only_awards_up_to_the_moment_count(life: Life) -> None:
    """as_of leaves out what was earned after it, and counts what was earned at that very moment."""
    moments = ["2025-06-01T12:00:00Z", "2025-06-03T11:59:59.999999Z", "2025-06-03T12:00:00Z", utc()]
    assert [1, 1, 2, 3] == [life.points(as_of=moment) for moment in moments]


def test_what_is_revoked_later_still_stood(life: Life) -> None:
    """known_at counts an award whose revocation had not been recorded, and does not once it had."""
    positions = [*life.awards, life.revoked - 1, life.revoked, life.renamed]
    assert [1, 2, 3, 4, 4, 3, 3] == [life.points(known_at=position) for position in positions]


def test_a_moment_says_what_was_known(life: Life) -> None:
    """known_at takes a timestamp as well, and then means all that had been recorded by then."""
    assert life.points(known_at=life.moment) == 4
    assert life.points(known_at=utc(timedelta(seconds=-0.01))) == 3


def test_both_together(life: Life) -> None:
    """What had been recorded by one moment about all up to another."""
    assert life.points(as_of="2025-06-02T12:00:00Z", known_at=life.awarded) == 2
    assert life.points(as_of="2025-06-02T12:00:00Z", known_at=life.revoked) == 1


def test_names_are_those_of_then(life: Life) -> None:
    """A user who was renamed later has the name of before; as_of alone shows today's."""
    assert life.username == life.leader(known_at=life.awarded)["username"]
    assert life.new_name == life.leader(known_at=life.renamed)["username"]
    assert life.new_name == life.leader(as_of=LAST_YEAR.format(5))["username"]


def test_later_users_are_not_there(fresh_laurels: FreshLaurels) -> None:
    """Nobody counts before they were registered, and before the first award there is nothing to answer."""
    laurels = fresh_laurels()
    assert_problem(get(laurels, f"{STATS}/max-count", params={"known_at": 0}), 404, "no-awards")
    create_user(laurels, "ada")
    create_user(laurels, "bob")
    feat = define_achievement(laurels)["achievement_id"]
    award(laurels, "bob", feat)

    def tied(known_at: int) -> int:
        params: dict[str, str | int] = {"known_at": known_at, "include_unawarded": "true"}
        response = get(laurels, f"{STATS}/max-points", params=params)
        assert_status(200, response)
        return int(response.json()["tied_users"])

    assert [1, 2, 2, 1] == [tied(known_at) for known_at in (1, 2, 3, 4)]
    assert_problem(get(laurels, f"{STATS}/max-points", params={"known_at": 3}), 404, "no-awards")
    assert [] == get(laurels, f"{STATS}/streak", params={"known_at": 4}).json()
    early = {"as_of": "2000-01-01T00:00:00Z"}
    problem = assert_problem(get(laurels, f"{STATS}/max-min-difference", params=early), 404, "no-awards")
    assert "Nobody held an award then." == problem["detail"]


def _streaks(life: Life, **params: str | int) -> list[tuple[int, str, int]]:
    listed = walk(life.laurels, f"{STATS}/streak/", params={"days": 2} | params)
    return [
        (streak["streak_days"], streak["streak_ended_on"], streak["current_streak_days"])
        for streak in listed
        if streak["user_id"] == life.user_id
    ]


def test_streaks_are_those_of_then(life: Life) -> None:
    """A run is that of the awards that stood; today, for the current one, is the moment that is asked for."""
    assert [] == _streaks(life)
    assert [(3, "2025-06-03", 0)] == _streaks(life, known_at=life.awarded)
    third, fourth, fifth = (LAST_YEAR.format(day) for day in (3, 4, 5))
    assert [(3, "2025-06-03", 3)] == _streaks(life, known_at=life.awarded, as_of=third, mode="current")
    assert [(3, "2025-06-03", 3)] == _streaks(life, known_at=life.awarded, as_of=fourth, mode="current")
    assert [] == _streaks(life, known_at=life.awarded, as_of=fifth, mode="current")
    assert [] == _streaks(life, known_at=life.awarded, mode="current")


def test_pages_stay_at_their_moment(fresh_laurels: FreshLaurels) -> None:
    """The next page is of the same moment, whatever was recorded meanwhile."""
    laurels = fresh_laurels()
    feat = define_achievement(laurels)["achievement_id"]
    users = [create_user(laurels)["username"] for _ in range(5)]
    for name in users:
        award_at(laurels, name, feat, LAST_YEAR.format(1), LAST_YEAR.format(2))
    then = utc()
    first = get(laurels, f"{STATS}/streak", params={"days": 2, "limit": 2, "known_at": then})
    for name in users:
        award_at(laurels, name, feat, LAST_YEAR.format(3))

    assert_status(200, first)
    listed, link = first.json(), first.links.get("next")
    while link:
        page = laurels.http.get(link["url"])
        assert_status(200, page)
        listed, link = listed + page.json(), page.links.get("next")
    assert [(name, 2) for name in users] == [(streak["username"], streak["streak_days"]) for streak in listed]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_present_is_a_moment_too(laurels: Laurels, statistic: str) -> None:
    """What is known at the Read-Position, of all that was awarded, is what is answered without asking for a moment."""
    feat = define_achievement(laurels)["achievement_id"]
    award_at(laurels, create_user(laurels)["username"], feat, LAST_YEAR.format(1))
    for everybody in ({}, {"include_unawarded": "true"}):
        params: dict[str, str | int] = {"days": 2} if statistic == "streak" else dict(everybody)
        for _ in range(20):
            now = get(laurels, f"{STATS}/{statistic}", params=params)
            known_at = position_of(now, "Read-Position")
            then = get(laurels, f"{STATS}/{statistic}", params=params | {"known_at": known_at})
            if known_at == position_of(get(laurels, "/users/"), "Read-Position"):
                break
        assert (now.status_code, now.json()) == (then.status_code, then.json())
        later = {"as_of": utc(timedelta(minutes=10))}
        assert now.status_code == get(laurels, f"{STATS}/{statistic}", params=params | later).status_code


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("as_of", ""),
        ("as_of", "yesterday"),
        ("as_of", "7"),
        ("as_of", "2025-06-01"),
        ("as_of", "2025-02-30T00:00:00Z"),
        ("as_of", "9999-12-31T23:59:59-01:00"),
        ("known_at", ""),
        ("known_at", "-1"),
        ("known_at", "1.0"),
        ("known_at", str(2**53)),
        ("known_at", "9" * 40),
        ("known_at", "now"),
        ("known_at", "٧"),
        ("known_at", "2999-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_moment_is_refused(laurels: Laurels, statistic: str, name: str, value: str) -> None:
    """Neither nonsense nor a known_at of the future is guessed at, and the pointer names the parameter."""
    problem = assert_problem(get(laurels, f"{STATS}/{statistic}/", params={name: value}), 400, "invalid-input")

    assert [f"/{name}"] == [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize("path", ["/users/", "/users/achievements"])
def test_lists_have_no_past(laurels: Laurels, path: str) -> None:
    """Where there is no answer about the past, it is refused, not ignored."""
    assert_problem(get(laurels, path, params={"as_of": utc()}), 400, "invalid-input")


def test_offsets_are_honoured(life: Life) -> None:
    """A moment may be written with any offset, and without one it is UTC."""
    moments = ["2025-06-01T12:00:00", "2025-06-01T15:00:00+03:00", "2025-06-01t12:00:00z"]
    assert [1, 1, 1] == [life.points(as_of=moment) for moment in moments]


def test_an_award_ahead_of_time_can_be_asked_for(laurels: Laurels) -> None:
    """An award may lie up to five minutes ahead, so as_of may as well."""
    name = create_user(laurels)["username"]
    feat = define_achievement(laurels)["achievement_id"]
    ahead = datetime.now(UTC) + timedelta(minutes=4)
    award(laurels, name, feat, awarded_at=ahead.isoformat())

    assert_status(200, get(laurels, f"{STATS}/max-count", params={"as_of": ahead.isoformat()}))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_position_that_is_not_there_yet_is_waited_for(laurels: Laurels, statistic: str) -> None:
    """A position beyond the log may come: it is waited for, then 503 says when to try again."""
    params = {"known_at": FORGOTTEN_ID}

    response = get(laurels, f"{STATS}/{statistic}", params=params, headers={"Prefer": "wait=0"})

    assert re.fullmatch(
        r"The log is at position \d+ and has not reached known_at\.", assert_problem(response, 503, "behind")["detail"]
    )
    assert response.headers["Retry-After"].isdecimal()


def test_lag_is_waited_for(fresh_laurels: FreshLaurels) -> None:
    """What is recorded but not in the read models yet is not answered without it."""
    laurels = fresh_laurels()
    feat = define_achievement(laurels)["achievement_id"]
    name = create_user(laurels)["username"]
    award(laurels, name, feat)
    laurels.stop_projection()
    try:
        body = {"achievement_id": feat}
        made = laurels.http.post(f"/api/v1/users/{name}/achievements", json=body, headers={"Prefer": "respond-async"})
        assert_status(201, made)
        known = [str(position_of(made)), utc()]
        for known_at in known:
            problem = assert_problem(_count(laurels, known_at, wait=0), 503, "behind")
            assert "The read models have not reached known_at." == problem["detail"]
    finally:
        laurels.resume_projection()
    assert [2, 2] == [_count(laurels, known_at, wait=10).json()["total_achievements"] for known_at in known]


def _count(laurels: Laurels, known_at: str, wait: int) -> httpx.Response:
    return get(laurels, f"{STATS}/max-count", params={"known_at": known_at}, headers={"Prefer": f"wait={wait}"})
