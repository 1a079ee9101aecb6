"""Statistics against a model: random histories, judged by the contract's own words."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .helpers import (
    Body,
    FreshLaurels,
    Laurels,
    assert_problem,
    assert_status,
    bulk,
    create_user,
    define_achievement,
    get,
    send,
    user_path,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

STATS = "/users/achievements-stats"
ZONES = ("UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Held:
    """An award that has not been revoked."""

    position: int
    points: int
    day: date


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive days with awards."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Count the days, both ends included."""
        return (self.last - self.first).days + 1


@dataclass(slots=True)
class Person:
    """A user and the awards that stand, by position."""

    user_id: int
    username: str
    zone: str
    held: dict[int, Held] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Count the awards."""
        return len(self.held)

    @property
    def points(self) -> int:
        """Add up the points."""
        return sum(award.points for award in self.held.values())

    def by_count(self) -> tuple[int, int, int]:
        """Order by count, then by who reached it first, then by id."""
        return -self.count, max(self.held, default=0), self.user_id

    def reached_points(self) -> tuple[int, int]:
        """Say when the points were reached; awards without points change nothing."""
        changes = [award.position for award in self.held.values() if award.points]
        return max(changes, default=0), self.user_id

    def by_points(self) -> tuple[int, int, int]:
        """Order by points, then by who reached them first, then by id."""
        return -self.points, *self.reached_points()

    def shown(self) -> Body:
        """Write the user as the statistics do."""
        return {"user_id": self.user_id, "username": self.username}

    def scored(self) -> Body:
        """Write the user with points."""
        return self.shown() | {"total_points": self.points}

    def runs(self) -> list[Run]:
        """Join the days into runs, earliest first."""
        runs: list[Run] = []
        for day in sorted({award.day for award in self.held.values()}):
            if runs and runs[-1].last + DAY == day:
                runs[-1] = Run(runs[-1].first, day)
            else:
                runs.append(Run(day, day))
        return runs

    def current_run(self) -> Run | None:
        """Give the run that reaches today or yesterday where the user is."""
        yesterday = datetime.now(ZoneInfo(self.zone)).date() - DAY
        return next((run for run in self.runs() if run.last >= yesterday), None)

    def longest_run(self) -> Run | None:
        """Give the longest run, the earliest of equals."""
        return max(self.runs(), key=lambda run: run.days, default=None)


def max_count(people: list[Person]) -> Body:
    """Expect what max-count shows."""
    best = min(people, key=Person.by_count)
    tied = sum(person.count == best.count for person in people)
    return best.shown() | {"total_achievements": best.count, "tied_users": tied}


def max_points(people: list[Person]) -> Body:
    """Expect what max-points shows."""
    best = min(people, key=Person.by_points)
    tied = sum(person.points == best.points for person in people)
    return best.scored() | {"tied_users": tied}


def max_min_difference(people: list[Person]) -> Body:
    """Expect what max-min-difference shows."""
    ranked = sorted(people, key=Person.by_points)
    lowest = min(people, key=lambda person: (person.points, *person.reached_points()))
    # The first of equal minima is the pair with the most points.
    nearest = min(pairwise(ranked), key=lambda pair: pair[0].points - pair[1].points, default=None)
    return {
        "max_difference": ranked[0].points - lowest.points,
        "users_with_max_difference": {
            "max_points_user": ranked[0].scored(),
            "min_points_user": lowest.scored(),
        },
        "min_difference": nearest and nearest[0].points - nearest[1].points,
        "users_with_min_difference": nearest
        and {
            "higher_points_user": nearest[0].scored(),
            "lower_points_user": nearest[1].scored(),
        },
    }


def streaks(people: Iterable[Person], days: int, *, current: bool) -> list[Body]:
    """Expect what streak lists."""
    listed = []
    for person in people:
        now = person.current_run()
        run = now if current else person.longest_run()
        if run is not None and run.days >= days:
            listed.append(
                person.shown()
                | {
                    "streak_days": run.days,
                    "streak_started_on": str(run.first),
                    "streak_ended_on": str(run.last),
                    "current_streak_days": now.days if now else 0,
                }
            )
    return sorted(listed, key=lambda streak: (-streak["streak_days"], streak["user_id"]))


@dataclass(slots=True)
class History:
    """A random history, told to the service and to the model alike."""

    laurels: Laurels
    chance: random.Random
    people: list[Person] = field(default_factory=list)
    achievements: list[int] = field(default_factory=list)

    def begin(self) -> None:
        """Register users all over the world, and achievements worth little."""
        for i in range(12):
            user = create_user(self.laurels, f"person {i}", user_timezone=ZONES[i % len(ZONES)])
            self.people.append(Person(user["user_id"], user["username"], user["user_timezone"]))
        for points in (0, 5, 5, 10):
            defined = define_achievement(self.laurels, achievement_point=points)
            self.achievements.append(defined["achievement_id"])

    def go_on(self, commands: int) -> None:
        """Send a batch of awards and revocations, and fold its results."""
        standing = [(person, award_id) for person in self.people for award_id in person.held]
        revoked = self.chance.sample(standing, len(standing) // 4)
        # The last two users never hold anything.
        receivers = self.chance.choices(self.people[:-2], k=commands)
        batch = [self._award(person) for person in receivers]
        batch += [{"type": "revoke-award", "award_id": award_id} for _, award_id in revoked]

        results = bulk(self.laurels, batch)

        assert [201] * commands + [204] * len(revoked) == [r["status"] for r in results]
        for person, result in zip(receivers, results, strict=False):
            self._hold(person, result["body"])
        for person, award_id in revoked:
            del person.held[award_id]

    def move(self) -> None:
        """Let the first user, who has old awards only, move and change the name."""
        person = self.people[0]
        changes = {"user_timezone": "America/Los_Angeles", "username": "somebody else"}
        response = send(self.laurels, "PATCH", user_path(person.username), changes)
        assert_status(200, response)
        person.zone, person.username = changes["user_timezone"], changes["username"]

    def _award(self, person: Person) -> Body:
        # Old awards keep who moves away from what today means in two zones.
        oldest = 5 if person is self.people[0] else 0
        ago = timedelta(days=oldest + self.chance.random() * 15, seconds=5)
        return {
            "type": "award-achievement",
            "username": person.username,
            "achievement_id": self.chance.choice(self.achievements),
            "awarded_at": (datetime.now(UTC) - ago).isoformat(),
        }

    def _hold(self, person: Person, made: Body) -> None:
        moment = datetime.fromisoformat(made["awarded_at"])
        day = moment.astimezone(ZoneInfo(person.zone)).date()
        person.held[made["award_id"]] = Held(made["award_id"], made["achievement_point"], day)


def test_statistics_are_those_of_the_model(fresh_laurels: FreshLaurels) -> None:
    """After any history every statistic is what the contract's rules make of it."""
    history = History(fresh_laurels(), random.Random(20260131))
    history.begin()

    for commands in (1, 1, 2, 3, 5, 20, 60, 120):
        history.go_on(commands)
        _check_leaders(history)
        _check_streaks(history)
    history.move()
    for commands in (0, 0, 40, 0, 0, 0, 0, 0):
        history.go_on(commands)
        _check_leaders(history)
        _check_streaks(history)


def _check_leaders(history: History) -> None:
    models = {
        "max-count": max_count,
        "max-points": max_points,
        "max-min-difference": max_min_difference,
    }
    holders = [person for person in history.people if person.held]
    for query, people in (("", holders), ("?include_unawarded=true", history.people)):
        for statistic, model in models.items():
            response = get(history.laurels, f"{STATS}/{statistic}/{query}")
            if people:
                assert_status(200, response)
                assert model(people) == response.json(), f"{statistic}{query}"
            else:
                assert_problem(response, 404, "no-awards")


def _check_streaks(history: History) -> None:
    path = f"{STATS}/streak/"
    for days in (2, 4):
        for mode in ({}, {"mode": "current"}):
            wanted = {"days": days, "limit": 5} | mode
            # At some midnight what is expected changes while it is compared.
            for _ in range(3):
                before = streaks(history.people, days, current=bool(mode))
                listed = walk(history.laurels, path, params=wanted)
                if before == streaks(history.people, days, current=bool(mode)):
                    break
            assert before == listed, wanted
