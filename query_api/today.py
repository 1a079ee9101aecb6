"""The day that it is now, everywhere."""

from datetime import UTC, datetime
from functools import lru_cache

import orjson

from shared.domain.days import timezones, today_by_zone

QUARTER = 15 * 60


def days_of_the_world(now: datetime) -> str:
    """Return the day that it is now in every time zone, as a JSON object."""
    # Clocks differ by whole quarters of an hour, so the answer changes only with these.
    return _days_at(int(now.timestamp()) // QUARTER)


def days_of_the_world_at(moment: datetime) -> str:
    """Return the day that it was there at any moment, also when clocks differed by seconds."""
    return orjson.dumps(today_by_zone(moment, timezones())).decode()


@lru_cache(maxsize=1)
def _days_at(quarter: int) -> str:
    return days_of_the_world_at(datetime.fromtimestamp(quarter * QUARTER, UTC))
