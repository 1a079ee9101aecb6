"""Reads that say where a user's numbers come from."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from fastapi import Request, Response

from query_api.answering import Queries, asked, columns_of, not_found, respond, shown
from query_api.lookups import Lookup
from query_api.paging import ID, List
from query_api.parameters import CURSOR, LIMIT, MIN_POSITION
from query_api.queries import current
from query_api.routes.documentation import INCOMPLETE, MIN_POSITION_ONLY, PAGED, read_route
from query_api.today import days_of_the_world
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.events.codec import SCHEMA_VERSIONS, UnknownEvent, upcast
from shared.http import representations
from shared.http.documentation import PathUsername
from shared.http.parameters import Parameters
from shared.http.routing import Routes
from shared.runtime.database import Record

routes = Routes[Queries](tag="users")

PAGES = List("events", (ID,))
USER_STATS: Final = Lookup(current("user_stats"), ("text",))
STATS_FIELDS = columns_of(representations.UserStats)
LISTED = Parameters(LIMIT, CURSOR, MIN_POSITION)


@routes.get("/users/{username}/stats", **read_route(representations.UserStats, MIN_POSITION_ONLY, 404))
async def get_stats(queries: Queries, request: Request, username: PathUsername) -> Response:
    """Show a user's totals and streaks, each with the log position of the latest standing award that changed it."""
    await asked(queries, request, MIN_POSITION_ONLY)
    today = days_of_the_world(datetime.now(UTC))
    reading = await queries.reader.look_up(USER_STATS, lookup_key(username), shared=(today,))
    if not reading.rows:
        raise not_found(reading, UnknownUser("No user has this name."))
    return respond(reading, shown(reading.rows[0], STATS_FIELDS))


@routes.get(
    "/users/{username}/events", **read_route(list[representations.Event], LISTED, 404, headers=PAGED | INCOMPLETE)
)
async def list_events(queries: Queries, request: Request, username: PathUsername) -> Response:
    """List the events behind a user's numbers, oldest first."""
    given = await asked(queries, request, LISTED)
    key = lookup_key(username)
    wanted = PAGES.page(given, key)
    after = wanted.after[0] if wanted.after else 0
    reading = await queries.reader.read(current("user_events"), key, after, wanted.limit + 1)
    if not reading.rows:
        raise not_found(reading, UnknownUser("No user has this name."))
    rows = [row for row in reading.rows if row["position"] is not None]
    listed = [_event(row) for row in rows[: wanted.limit]]
    # The list is bare, so that it is incomplete is said beside it.
    headers = {"Incomplete": "true"} if reading.rows[0]["incomplete"] else {}
    if len(rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [listed[-1]["position"]], key)
    return respond(reading, listed, headers)


def _event(row: Record) -> dict[str, Any]:
    try:
        data = upcast(row["type"], row["schema_version"], row["data"])
        version = SCHEMA_VERSIONS[row["type"]]
    except UnknownEvent:
        # Newer code may have projected what this code cannot upcast: it is shown as it was written.
        data, version = row["data"], row["schema_version"]
    return {
        "position": row["position"],
        "event_id": str(row["event_id"]),
        "type": row["type"],
        "schema_version": version,
        "recorded_at": row["recorded_at"],
        "data": orjson.Fragment(data),
    }
