"""Reads of streaks."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache

from fastapi import Request, Response

from query_api.answering import answer, parameters, service, shown
from query_api.paging import integer, next_link, page
from query_api.queries.streaks import CURRENT, LONGEST
from query_api.routes.documentation import read_route
from shared import representations
from shared.domain.days import timezones, today_by_zone
from shared.domain.errors import InvalidInput
from shared.runtime.http import api_router

router = api_router("/users/achievements-stats", tag="statistics")

QUERIES = {"longest": LONGEST, "current": CURRENT}
FIELDS = ("user_id", "username", "streak_days", "streak_started_on", "streak_ended_on", "current_streak_days")
LONGER_THAN_ANY = 2**31 - 1
QUARTER = 15 * 60


@router.get("/streak", **read_route(list[representations.Streak], "days", "mode", paged=True))
async def streaks(request: Request) -> Response:
    """List who earned something on so many consecutive days, longest run first."""
    given = await parameters(request, "days", "mode", "limit", "cursor")
    days = integer(given, "days", 2, 366, 7)
    mode = given.get("mode", "longest")
    if mode not in QUERIES:
        raise InvalidInput("/mode", f"This has to be one of: {', '.join(QUERIES)}.")
    wanted = page(given, f"streak {mode}", int, int)
    last_days, last_id = wanted.after or (LONGER_THAN_ANY, 0)
    zones, today = days_of_the_world(datetime.now(UTC))
    reading = await service(request).reader.read(
        QUERIES[mode], zones, today, days, min(last_days, LONGER_THAN_ANY), last_id, wanted.limit + 1
    )
    listed = [shown(row, FIELDS) for row in reading.rows[: wanted.limit]]
    headers = {}
    if len(reading.rows) > wanted.limit:
        after = [listed[-1]["streak_days"], listed[-1]["user_id"]]
        headers["Link"] = next_link(request, given, f"streak {mode}", after)
    return answer(reading, listed, headers)


def days_of_the_world(now: datetime) -> tuple[Sequence[str], Sequence[date]]:
    """Return every time zone and the day that it is there now."""
    # Clocks differ by whole quarters of an hour, so the answer changes only with these.
    return _days_at(int(now.timestamp()) // QUARTER)


@lru_cache(maxsize=1)
def _days_at(quarter: int) -> tuple[Sequence[str], Sequence[date]]:
    found = today_by_zone(datetime.fromtimestamp(quarter * QUARTER, UTC), timezones())
    return list(found), list(found.values())
