"""The judge: what the read models and the statistics have to be, folded in plain Python from the contract's rules.

It is slow on purpose and knows no SQL. Everything follows from two things: the users, and the awards that stand. So a
revoked award leaves no trace, and neither the order of batches nor of partitions can matter.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)

Row = tuple[object, ...]
Tables = dict[str, list[Row]]
"""Table to its rows, sorted; the columns of each are those of `COLUMNS`."""


class Fact(NamedTuple):
    """An event as the log has it."""

    position: int
    event: Event
    recorded_at: datetime


COLUMNS: Mapping[str, Sequence[str]] = {
    "users": (
        "user_id",
        "username",
        "username_key",
        "user_language",
        "user_timezone",
        "created_at",
        "updated_at",
        "updated_position",
    ),
    "achievements": (
        "achievement_id",
        "achievement_language",
        "achievement_point",
        "repeatable",
        "created_at",
        "updated_at",
    ),
    "achievement_texts": ("achievement_id", "language", "name", "description"),
    "user_awards": ("user_id", "awarded_at", "award_id", "achievement_id", "points", "local_day", "recorded_at"),
    "user_totals": (
        "user_id",
        "total_achievements",
        "total_points",
        "created_position",
        "count_position",
        "points_position",
    ),
    "count_levels": ("total_achievements", "users"),
    "points_levels": ("total_points", "users", "gap_below"),
    "user_streaks": ("user_id", "days", "streak_days", "streak_started_on", "latest_days", "latest_ended_on"),
    "incomplete_users": ("user_id",),
}
"""`user_streaks.days` are pairs of a run's first day and the day after its last, as PostgreSQL writes ranges."""


@dataclass(frozen=True)
class Standing:
    """Where a user stands, by the awards that stand."""

    user_id: int
    username: str
    user_timezone: str
    achievements: int
    points: int
    created_position: int
    count_position: int
    points_position: int
    days: frozenset[date]


# The tables


def tables(facts: Sequence[Fact]) -> Tables:
    """Fold the log into every read model."""
    standing = _standing_ids(facts)
    found: dict[str, Iterable[Row]] = {
        "users": _users(facts),
        "achievements": _achievements(facts),
        "achievement_texts": _texts(facts),
        "user_awards": (
            (
                fact.event.user_id,
                fact.event.awarded_at,
                fact.event.award_id,
                fact.event.achievement_id,
                fact.event.points,
                fact.event.local_day,
                fact.recorded_at,
            )
            for fact in facts
            if isinstance(fact.event, AchievementAwarded) and fact.event.award_id in standing
        ),
        "user_totals": (
            (s.user_id, s.achievements, s.points, s.created_position, s.count_position, s.points_position)
            for s in standings(facts)
        ),
        "count_levels": Counter(s.achievements for s in standings(facts)).items(),
        "points_levels": _points_levels(facts),
        "user_streaks": (_streak_row(s) for s in standings(facts) if s.days),
        "incomplete_users": (),
    }
    return {name: sorted(found[name]) for name in COLUMNS}


def standings(facts: Sequence[Fact]) -> list[Standing]:
    """Return where every registered user stands, in the order of their ids."""
    profiles = _profiles(facts)
    created = {f.event.user_id: f.position for f in facts if isinstance(f.event, UserCreated)}
    awards = standing_awards(facts)
    found = []
    for user_id, profile in sorted(profiles.items()):
        own = [award for award in awards if award.user_id == user_id]
        found.append(
            Standing(
                user_id=user_id,
                username=profile.username,
                user_timezone=profile.user_timezone,
                achievements=len(own),
                points=sum(award.points for award in own),
                created_position=created[user_id],
                # The id of an award is the position at which it changed the count; 0 points change no points.
                count_position=max([created[user_id], *(award.award_id for award in own)]),
                points_position=max([created[user_id], *(award.award_id for award in own if award.points > 0)]),
                days=frozenset(award.local_day for award in own),
            )
        )
    return found


def standing_awards(facts: Sequence[Fact]) -> list[AchievementAwarded]:
    """Return the awards that have not been revoked."""
    standing = _standing_ids(facts)
    return [f.event for f in facts if isinstance(f.event, AchievementAwarded) and f.event.award_id in standing]


def runs(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return first and last day of each run of consecutive days, in order."""
    held = set(days)
    found = []
    for first in sorted(day for day in held if day - timedelta(1) not in held):
        last = first
        while last + timedelta(1) in held:
            last += timedelta(1)
        found.append((first, last))
    return found


def _standing_ids(facts: Sequence[Fact]) -> set[int]:
    awarded = {f.event.award_id for f in facts if isinstance(f.event, AchievementAwarded)}
    return awarded - {f.event.award_id for f in facts if isinstance(f.event, AwardRevoked)}


def _profiles(facts: Sequence[Fact]) -> dict[int, UserCreated | UserChanged]:
    return {f.event.user_id: f.event for f in facts if isinstance(f.event, UserCreated | UserChanged)}


def _users(facts: Sequence[Fact]) -> Iterable[Row]:
    for user_id, profile in _profiles(facts).items():
        own = [f for f in facts if isinstance(f.event, UserCreated | UserChanged) and f.event.user_id == user_id]
        yield (
            user_id,
            profile.username,
            profile.username_key,
            profile.user_language,
            profile.user_timezone,
            own[0].recorded_at,
            own[-1].recorded_at,
            own[-1].position,
        )


def _achievements(facts: Sequence[Fact]) -> Iterable[Row]:
    for fact in facts:
        defined = fact.event
        if isinstance(defined, AchievementDefined):
            changes = [
                f.recorded_at
                for f in facts
                if isinstance(f.event, AchievementTranslated) and f.event.achievement_id == defined.achievement_id
            ]
            yield (
                defined.achievement_id,
                defined.achievement_language,
                defined.achievement_point,
                defined.repeatable,
                fact.recorded_at,
                max([fact.recorded_at, *changes]),
            )


def _texts(facts: Sequence[Fact]) -> Iterable[Row]:
    latest = {
        (f.event.achievement_id, f.event.achievement_language): f.event
        for f in facts
        if isinstance(f.event, AchievementDefined | AchievementTranslated)
    }
    for (achievement_id, language), text in latest.items():
        yield achievement_id, language, text.achievement_name, text.achievement_description


def _points_levels(facts: Sequence[Fact]) -> Iterable[Row]:
    users = Counter(s.points for s in standings(facts) if s.achievements)
    below: int | None = None
    for points in sorted(users):
        yield points, users[points], None if below is None else points - below
        below = points


def _streak_row(standing: Standing) -> Row:
    found = runs(standing.days)
    first, last = _longest(found)
    latest_first, latest_last = found[-1]
    days = tuple((start, end + timedelta(1)) for start, end in found)
    return standing.user_id, days, _length(first, last), first, _length(latest_first, latest_last), latest_last


def _length(first: date, last: date) -> int:
    return (last - first).days + 1


def _longest(found: Sequence[tuple[date, date]]) -> tuple[date, date]:
    """Return the run with most days, the earliest of equals."""
    return max(found, key=lambda run: (_length(*run), -run[0].toordinal()))


# The past


def at(facts: Sequence[Fact], *, known_at: int | None = None, as_of: datetime | None = None) -> list[Fact]:
    """Return what had been recorded up to a position, and of that no award of after a moment.

    All follows from the awards that stand, so an award that does not count is left out together with its revocation.
    """
    return [
        fact
        for fact in facts
        if (known_at is None or fact.position <= known_at)
        and not (as_of and isinstance(fact.event, AchievementAwarded | AwardRevoked) and fact.event.awarded_at > as_of)
    ]


def position_at(facts: Sequence[Fact], moment: datetime) -> int:
    """Return the last position that had been recorded by a moment, 0 for none."""
    return max((fact.position for fact in facts if fact.recorded_at <= moment), default=0)


# One user


def stats(facts: Sequence[Fact], user_id: int, today: Mapping[str, date]) -> dict[str, object]:
    """Tell what a user has, and at which position each of it was reached."""
    (user,) = [standing for standing in standings(facts) if standing.user_id == user_id]
    longest = _longest(runs(user.days)) if user.days else None
    current = _current(user, today)
    return {
        "user_id": user_id,
        "username": user.username,
        "total_achievements": user.achievements,
        "total_achievements_position": user.count_position,
        "total_points": user.points,
        "total_points_position": user.points_position,
        "streak_days": _length(*longest) if longest else 0,
        "streak_started_on": longest[0] if longest else None,
        "streak_ended_on": longest[1] if longest else None,
        "streak_position": _reached(facts, user_id, longest),
        "current_streak_days": _length(*current) if current else 0,
        "current_streak_position": _reached(facts, user_id, current),
    }


def events_of(facts: Sequence[Fact], user_id: int) -> list[Fact]:
    """Return what happened to a user, oldest first."""
    return [fact for fact in facts if getattr(fact.event, "user_id", None) == user_id]


def _reached(facts: Sequence[Fact], user_id: int, run: tuple[date, date] | None) -> int | None:
    """Return the first position from which on every day of the run has an award that stands."""
    if run is None:
        return None
    own = [award for award in standing_awards(facts) if award.user_id == user_id]
    missing = {run[0] + timedelta(number) for number in range(_length(*run))}
    for award in sorted(own, key=lambda award: award.award_id):
        missing.discard(award.local_day)
        if not missing:
            return award.award_id
    raise AssertionError("a day of the run has no award")


# The statistics. Answers are those of the contract; None stands for 404.


def ranked(facts: Sequence[Fact], *, include_unawarded: bool) -> list[Standing]:
    """Return the users that the statistics are over."""
    return [s for s in standings(facts) if include_unawarded or s.achievements]


def max_count(facts: Sequence[Fact], *, include_unawarded: bool) -> dict[str, object] | None:
    """Tell who holds most achievements: who got there first, then the lower id."""
    users = ranked(facts, include_unawarded=include_unawarded)
    if not users:
        return None
    most = max(user.achievements for user in users)
    tied = [user for user in users if user.achievements == most]
    first = min(tied, key=lambda user: (user.count_position, user.user_id))
    return {
        "user_id": first.user_id,
        "username": first.username,
        "total_achievements": most,
        "tied_users": len(tied),
    }


def max_points(facts: Sequence[Fact], *, include_unawarded: bool) -> dict[str, object] | None:
    """Tell who has most points: who got there first, then the lower id."""
    users = ranked(facts, include_unawarded=include_unawarded)
    if not users:
        return None
    most = max(user.points for user in users)
    tied = [user for user in users if user.points == most]
    return {**_points_of(min(tied, key=_first)), "tied_users": len(tied)}


def difference(facts: Sequence[Fact], *, include_unawarded: bool) -> dict[str, object] | None:
    """Tell between whom the difference of points is greatest, and between which two users it is smallest."""
    users = ranked(facts, include_unawarded=include_unawarded)
    if not users:
        return None
    highest = min(users, key=lambda user: (-user.points, _first(user)))
    lowest = min(users, key=lambda user: (user.points, _first(user)))
    pairs = [(a, b) for a in users for b in users if a.user_id != b.user_id and a.points >= b.points]
    # Of equal differences the pair with most points; then who reached either value first.
    closest = min(
        pairs,
        key=lambda pair: (pair[0].points - pair[1].points, -pair[0].points, _first(pair[0]), _first(pair[1])),
        default=None,
    )
    return {
        "max_difference": highest.points - lowest.points,
        "users_with_max_difference": {"max_points_user": _points_of(highest), "min_points_user": _points_of(lowest)},
        "min_difference": closest[0].points - closest[1].points if closest else None,
        "users_with_min_difference": {
            "higher_points_user": _points_of(closest[0]),
            "lower_points_user": _points_of(closest[1]),
        }
        if closest
        else None,
    }


def longest_streaks(facts: Sequence[Fact], days: int, today: Mapping[str, date]) -> list[dict[str, object]]:
    """List the users whose longest run has so many days; `today` is the day in each time zone."""
    shown = [
        _streak(user, _longest(runs(user.days)), today)
        for user in standings(facts)
        if user.days and _length(*_longest(runs(user.days))) >= days
    ]
    return sorted(shown, key=_by_length)


def current_streaks(facts: Sequence[Fact], days: int, today: Mapping[str, date]) -> list[dict[str, object]]:
    """List the users whose run reaches today or yesterday, and has so many days."""
    shown = [
        _streak(user, run, today)
        for user in standings(facts)
        if (run := _current(user, today)) and _length(*run) >= days
    ]
    return sorted(shown, key=_by_length)


def _first(user: Standing) -> tuple[int, int]:
    return user.points_position, user.user_id


def _points_of(user: Standing) -> dict[str, object]:
    return {"user_id": user.user_id, "username": user.username, "total_points": user.points}


def _current(user: Standing, today: Mapping[str, date]) -> tuple[date, date] | None:
    here = today[user.user_timezone]
    for day in (here, here - timedelta(1)):
        for first, last in runs(user.days):
            if first <= day <= last:
                return first, last
    return None


def _streak(user: Standing, run: tuple[date, date], today: Mapping[str, date]) -> dict[str, object]:
    current = _current(user, today)
    return {
        "user_id": user.user_id,
        "username": user.username,
        "streak_days": _length(*run),
        "streak_started_on": run[0],
        "streak_ended_on": run[1],
        "current_streak_days": _length(*current) if current else 0,
    }


def _by_length(row: Mapping[str, object]) -> tuple[int, int]:
    return -int(str(row["streak_days"])), int(str(row["user_id"]))
