"""Reads of streaks."""

from datetime import UTC, datetime

from fastapi import Request, Response

from query_api import time_travel
from query_api.answering import Queries, asked, columns_of, respond, shown
from query_api.paging import ID, List, whole
from query_api.parameters import AS_OF, CURSOR, DAYS, KNOWN_AT, LIMIT, MIN_POSITION, MODE
from query_api.queries import as_of, current
from query_api.routes.documentation import PAGED, read_route
from query_api.today import days_of_the_world, days_of_the_world_at
from shared.http import representations
from shared.http.parameters import Parameters
from shared.http.routing import Routes

routes = Routes[Queries]("/users/achievements-stats", tag="statistics")

QUESTIONS = {"longest": "longest_streaks", "current": "current_streaks"}
PARAMETERS = Parameters(DAYS, MODE, AS_OF, KNOWN_AT, LIMIT, CURSOR, MIN_POSITION)
LONGER_THAN_ANY = 2**31 - 1
PAGES = List("streaks", (whole(LONGER_THAN_ANY), ID))
FIELDS = columns_of(representations.Streak)


@routes.get("/streak", **read_route(list[representations.Streak], PARAMETERS, cached=True, headers=PAGED))
async def streaks(queries: Queries, request: Request) -> Response:
    """List who earned something on so many consecutive days, longest run first."""
    given = await asked(queries, request, PARAMETERS)
    question = QUESTIONS[given[MODE]]
    wanted = PAGES.page(given)
    last_days, last_id = wanted.after or (LONGER_THAN_ANY, 0)
    rest = given[DAYS], last_days, last_id, wanted.limit + 1
    then = await time_travel.asked_for(queries, request, given)
    if then:
        today = days_of_the_world_at(then.now)
        reading = await time_travel.recompute(queries.reader, then, as_of(question), today, *rest)
    else:
        today = days_of_the_world(datetime.now(UTC))
        reading = await queries.reader.read(current(question), today, *rest)
    listed = [shown(row, FIELDS) for row in reading.rows[: wanted.limit]]
    headers = {}
    if len(reading.rows) > wanted.limit:
        after = [listed[-1]["streak_days"], listed[-1]["user_id"]]
        headers["Link"] = PAGES.next_link(request, given, after)
    return respond(reading, listed, headers)
