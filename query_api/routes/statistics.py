"""Reads of the ranking: most achievements, most points, greatest and smallest difference."""

from typing import Any

from fastapi import Request, Response

from query_api import time_travel
from query_api.answering import Queries, asked, columns_of, not_found, respond, shown
from query_api.parameters import AS_OF, INCLUDE_UNAWARDED, KNOWN_AT, MIN_POSITION
from query_api.queries import as_of, current
from query_api.reader import Reading
from query_api.routes.documentation import read_route
from shared.domain.errors import NoAwards
from shared.http import representations
from shared.http.parameters import Parameters
from shared.http.routing import Routes
from shared.runtime.database import Record

routes = Routes[Queries]("/users/achievements-stats", tag="statistics")

MAX_COUNT_FIELDS = columns_of(representations.MaxCount)
MAX_POINTS_FIELDS = columns_of(representations.MaxPoints)
PARAMETERS = Parameters(INCLUDE_UNAWARDED, AS_OF, KNOWN_AT, MIN_POSITION)


@routes.get("/max-count", **read_route(representations.MaxCount, PARAMETERS, 404, cached=True))
async def max_count(queries: Queries, request: Request) -> Response:
    """Tell who holds most achievements."""
    reading = await _read(queries, request, "max_count")
    row = reading.rows[0]
    return respond(reading, shown(row, MAX_COUNT_FIELDS))


@routes.get("/max-points", **read_route(representations.MaxPoints, PARAMETERS, 404, cached=True))
async def max_points(queries: Queries, request: Request) -> Response:
    """Tell who has most points."""
    reading = await _read(queries, request, "max_points")
    row = reading.rows[0]
    return respond(reading, shown(row, MAX_POINTS_FIELDS))


@routes.get("/max-min-difference", **read_route(representations.Difference, PARAMETERS, 404, cached=True))
async def max_min_difference(queries: Queries, request: Request) -> Response:
    """Tell between whom the difference of points is greatest and smallest."""
    reading = await _read(queries, request, "max_min_difference")
    row = reading.rows[0]
    closest = {"higher_points_user": _user(row, "higher"), "lower_points_user": _user(row, "lower")}
    body = {
        "max_difference": row["max_difference"],
        "users_with_max_difference": {
            "max_points_user": _user(row, "top"),
            "min_points_user": _user(row, "bottom"),
        },
        "min_difference": row["min_difference"],
        "users_with_min_difference": closest if row["min_difference"] is not None else None,
    }
    return respond(reading, body)


async def _read(queries: Queries, request: Request, question: str) -> Reading:
    given = await asked(queries, request, PARAMETERS)
    everybody = given[INCLUDE_UNAWARDED]
    then = await time_travel.asked_for(queries, request, given)
    if then:
        reading = await time_travel.recompute(queries.reader, then, as_of(question), everybody)
    else:
        reading = await queries.reader.read(current(question), everybody)
    if not reading.rows:
        raise not_found(reading, NoAwards(_nobody(everybody=everybody, past=then is not None)))
    return reading


def _nobody(*, everybody: bool, past: bool) -> str:
    if past:
        return "There were no users then." if everybody else "Nobody held an award then."
    return "There are no users yet." if everybody else "Nobody holds an award yet."


def _user(row: Record, who: str) -> dict[str, Any]:
    user_id = row[f"{who}_id"]
    body = {"user_id": user_id, "username": row[f"{who}_name"], "total_points": row[f"{who}_points"]}
    return {**body, "incomplete": True} if user_id in row["incomplete"] else body
