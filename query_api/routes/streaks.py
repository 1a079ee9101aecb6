"""Reads of streaks."""

from datetime import UTC, datetime

from fastapi import Request, Response

from query_api import time_travel
from query_api.answering import answer, parameters, service, shown
from query_api.paging import ID, List, integer, whole
from query_api.queries import as_of, current
from query_api.routes.documentation import read_route
from query_api.today import days_of_the_world, days_of_the_world_at
from shared.domain.errors import InvalidInput
from shared.http import representations
from shared.http.app import api_router

router = api_router("/users/achievements-stats", tag="statistics")

QUESTIONS = {"longest": "longest_streaks", "current": "current_streaks"}
PARAMETERS = ("days", "mode", *time_travel.NAMES)
LONGER_THAN_ANY = 2**31 - 1
PAGES = List("streaks", (whole(LONGER_THAN_ANY), ID))
FIELDS = ("user_id", "username", "streak_days", "streak_started_on", "streak_ended_on", "current_streak_days")


@router.get("/streak", **read_route(list[representations.Streak], *PARAMETERS, paged=True, hot=True))
async def streaks(request: Request) -> Response:
    """List who earned something on so many consecutive days, longest run first."""
    given = await parameters(request, *PARAMETERS, "limit", "cursor")
    days = integer(given, "days", 2, 366, 7)
    mode = given.get("mode", "longest")
    if mode not in QUESTIONS:
        raise InvalidInput("/mode", f"This has to be one of: {', '.join(QUESTIONS)}.")
    wanted = PAGES.page(given)
    last_days, last_id = wanted.after or (LONGER_THAN_ANY, 0)
    rest = days, last_days, last_id, wanted.limit + 1
    then = await time_travel.asked_for(request, given)
    if then:
        today = days_of_the_world_at(then.now)
        reading = await time_travel.recompute(request, then, as_of(QUESTIONS[mode]), today, *rest)
    else:
        today = days_of_the_world(datetime.now(UTC))
        reading = await service(request).reader.read(current(QUESTIONS[mode]), today, *rest)
    listed = [shown(row, FIELDS) for row in reading.rows[: wanted.limit]]
    headers = {}
    if len(reading.rows) > wanted.limit:
        after = [listed[-1]["streak_days"], listed[-1]["user_id"]]
        headers["Link"] = PAGES.next_link(request, given, after)
    return answer(reading, listed, headers)
