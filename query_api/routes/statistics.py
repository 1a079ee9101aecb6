"""Reads of the ranking: most achievements, most points, greatest and smallest difference."""

from typing import Any

from fastapi import Request, Response

from query_api import time_travel
from query_api.answering import answer, nothing, parameters, service, shown
from query_api.queries import as_of, current
from query_api.reading import Reading
from query_api.routes.documentation import read_route
from shared.domain.errors import InvalidInput, NoAwards
from shared.http import representations
from shared.http.app import api_router
from shared.runtime.database import Record

router = api_router("/users/achievements-stats", tag="statistics")

MAX_COUNT_FIELDS = ("user_id", "username", "total_achievements", "tied_users")
MAX_POINTS_FIELDS = ("user_id", "username", "total_points", "tied_users")
BOOLEANS = {"true": True, "false": False}
PARAMETERS = ("include_unawarded", *time_travel.NAMES)


@router.get("/max-count", **read_route(representations.MaxCount, *PARAMETERS, problems=(404,), hot=True))
async def max_count(request: Request) -> Response:
    """Tell who holds most achievements."""
    reading = await _read(request, "max_count")
    row = reading.rows[0]
    return answer(reading, shown(row, MAX_COUNT_FIELDS))


@router.get("/max-points", **read_route(representations.MaxPoints, *PARAMETERS, problems=(404,), hot=True))
async def max_points(request: Request) -> Response:
    """Tell who has most points."""
    reading = await _read(request, "max_points")
    row = reading.rows[0]
    return answer(reading, shown(row, MAX_POINTS_FIELDS))


@router.get("/max-min-difference", **read_route(representations.Difference, *PARAMETERS, problems=(404,), hot=True))
async def max_min_difference(request: Request) -> Response:
    """Tell between whom the difference of points is greatest and smallest."""
    reading = await _read(request, "max_min_difference")
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
    return answer(reading, body)


async def _read(request: Request, question: str) -> Reading:
    given = await parameters(request, *PARAMETERS)
    everybody = BOOLEANS.get(given.get("include_unawarded", "false"))
    if everybody is None:
        raise InvalidInput("/include_unawarded", "This has to be true or false.")
    then = await time_travel.asked_for(request, given)
    if then:
        reading = await time_travel.recompute(request, then, as_of(question), everybody)
    else:
        reading = await service(request).reader.read(current(question), everybody)
    if not reading.rows:
        raise nothing(reading, NoAwards(_nobody(everybody=everybody, past=then is not None)))
    return reading


def _nobody(*, everybody: bool, past: bool) -> str:
    if past:
        return "There were no users then." if everybody else "Nobody held an award then."
    return "There are no users yet." if everybody else "Nobody holds an award yet."


def _user(row: Record, who: str) -> dict[str, Any]:
    user_id = row[f"{who}_id"]
    body = {"user_id": user_id, "username": row[f"{who}_name"], "total_points": row[f"{who}_points"]}
    return {**body, "incomplete": True} if user_id in row["incomplete"] else body
