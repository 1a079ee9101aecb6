"""The day that it is now, everywhere."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache

from shared.domain.days import timezones, today_by_zone

QUARTER = 15 * 60


def days_of_the_world(now: datetime) -> tuple[Sequence[str], Sequence[date]]:
    """Return every time zone and the day that it is there now."""
    # Clocks differ by whole quarters of an hour, so the answer changes only with these.
    return _days_at(int(now.timestamp()) // QUARTER)


def days_of_the_world_at(moment: datetime) -> tuple[Sequence[str], Sequence[date]]:
    """Return every time zone and the day that it was there at any moment, also when clocks differed by seconds."""
    found = today_by_zone(moment, timezones())
    return list(found), list(found.values())


@lru_cache(maxsize=1)
def _days_at(quarter: int) -> tuple[Sequence[str], Sequence[date]]:
    return days_of_the_world_at(datetime.fromtimestamp(quarter * QUARTER, UTC))
