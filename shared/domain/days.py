"""Calendar days, runs of them, and the time zones that decide which day an instant belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MINYEAR, date, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

__all__ = [
    "Run",
    "UnknownTimezone",
    "current_run",
    "is_timezone",
    "local_day",
    "longest_run",
    "runs",
    "timezones",
    "today_by_zone",
    "zone",
]


class UnknownTimezone(ValueError):
    """The name is not one of the IANA time zones; `str()` does not repeat it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive days, both ends included."""

    started_on: date
    ended_on: date

    @property
    def days(self) -> int:
        """How many days the run has, at least 1."""
        return (self.ended_on - self.started_on).days + 1


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """Return the calendar day of `instant` in `zone`, the first or last day there is at the ends of the calendar.

    Raise ValueError for an instant without an offset.
    """
    if instant.utcoffset() is None:
        message = "An instant needs an offset from UTC."
        raise ValueError(message)
    try:
        return instant.astimezone(zone).date()
    except OverflowError:
        return date.min if instant.year == MINYEAR else date.max


def runs(days: Iterable[date]) -> list[Run]:
    """Join days, in any order and repeated at will, to runs in ascending order."""
    found: list[Run] = []
    for day in sorted(set(days)):
        if found and (day - found[-1].ended_on).days == 1:
            found[-1] = Run(found[-1].started_on, day)
        else:
            found.append(Run(day, day))
    return found


def longest_run(runs: Iterable[Run]) -> Run | None:
    """Return the run with most days, the earliest among equals; None if there is none."""
    return min(runs, key=lambda run: (-run.days, run.started_on), default=None)


def current_run(runs: Iterable[Run], today: date) -> Run | None:
    """Return the run containing today, else the one containing yesterday, else None; `runs` as `runs()` gives them."""
    # A day without an award breaks a run only once it is over, hence yesterday.
    return next((run for run in runs if run.started_on <= today and (today - run.ended_on).days <= 1), None)


@cache
def timezones() -> frozenset[str]:
    """Return the IANA names the tzdata package lists; its placeholder `Factory` is no place anybody lives in."""
    listed = files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split()) - {"Factory"}


def is_timezone(name: str) -> bool:
    """Say whether `name` is an IANA time zone, spelt exactly."""
    return name in timezones()


@cache
def zone(name: str) -> ZoneInfo:
    """Return the time zone; raise UnknownTimezone.

    The rules come from the tzdata package and never from the machine, so that every process agrees on a day.
    """
    if not is_timezone(name):
        message = "The time zone is not an IANA name such as Asia/Tokyo."
        raise UnknownTimezone(message)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def today_by_zone(now: datetime, zones: Iterable[str]) -> dict[str, date]:
    """Return the day that `now` belongs to in each of the named zones; raise UnknownTimezone."""
    return {name: local_day(now, zone(name)) for name in zones}
