"""Reads that say where a user's numbers come from."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from fastapi import Request, Response

from query_api.answering import answer, nothing, parameters, service, shown
from query_api.paging import ID, List
from query_api.queries import current
from query_api.reading import Lookup
from query_api.routes.documentation import read_route
from query_api.today import days_of_the_world
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.events.codec import SCHEMA_VERSIONS, UnknownEvent, upcast
from shared.http import representations
from shared.http.app import api_router
from shared.http.documentation import PathUsername
from shared.runtime.database import Record

router = api_router(tag="users")

PAGES = List("events", (ID,))
USER_STATS: Final = Lookup(current("user_stats"), ("text",))
STATS_FIELDS = (
    "user_id",
    "username",
    "total_achievements",
    "total_achievements_position",
    "total_points",
    "total_points_position",
    "streak_days",
    "streak_started_on",
    "streak_ended_on",
    "streak_position",
    "current_streak_days",
    "current_streak_position",
)


@router.get("/users/{username}/stats", **read_route(representations.UserStats, problems=(404,)))
async def get_stats(request: Request, username: PathUsername) -> Response:
    """Show a user's totals and streaks, each with the log position of the latest standing award that changed it."""
    await parameters(request)
    today = days_of_the_world(datetime.now(UTC))
    reading = await service(request).reader.look_up(USER_STATS, lookup_key(username), shared=(today,))
    if not reading.rows:
        raise nothing(reading, UnknownUser("No user has this name."))
    return answer(reading, shown(reading.rows[0], STATS_FIELDS))


@router.get("/users/{username}/events", **read_route(list[representations.Event], paged=True, problems=(404,)))
async def list_events(request: Request, username: PathUsername) -> Response:
    """List the events behind a user's numbers, oldest first."""
    given = await parameters(request, "limit", "cursor")
    key = lookup_key(username)
    wanted = PAGES.page(given, key)
    after = wanted.after[0] if wanted.after else 0
    reading = await service(request).reader.read(current("user_events"), key, after, wanted.limit + 1)
    if not reading.rows:
        raise nothing(reading, UnknownUser("No user has this name."))
    rows = [row for row in reading.rows if row["position"] is not None]
    listed = [_event(row) for row in rows[: wanted.limit]]
    # The list is bare, so that it is incomplete is said beside it.
    headers = {"Incomplete": "true"} if reading.rows[0]["incomplete"] else {}
    if len(rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [listed[-1]["position"]], key)
    return answer(reading, listed, headers)


def _event(row: Record) -> dict[str, Any]:
    try:
        data = upcast(row["type"], row["schema_version"], row["data"])
        version = SCHEMA_VERSIONS[row["type"]]
    except UnknownEvent:
        # While versions change, newer code may have projected what this cannot lift: it is shown as it was written.
        data, version = row["data"], row["schema_version"]
    return {
        "position": row["position"],
        "event_id": str(row["event_id"]),
        "type": row["type"],
        "schema_version": version,
        "recorded_at": row["recorded_at"],
        "data": orjson.Fragment(data),
    }
