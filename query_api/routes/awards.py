"""Reads about awards."""

from datetime import UTC, datetime
from typing import Final

from fastapi import Request, Response

from query_api.answering import Queries, asked, not_found, respond_written
from query_api.lookups import Lookup
from query_api.paging import ID, List, instant
from query_api.parameters import CURSOR, LIMIT, MIN_POSITION
from query_api.queries import current
from query_api.routes.documentation import INCOMPLETE, PAGED, read_route
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.documentation import PathUsername
from shared.http.parameters import Parameters
from shared.http.routing import Routes

routes = Routes[Queries](tag="awards")

PAGES = List("awards", (instant, ID))
# Fewer in one batch than usual, so that the database answers some while this process still passes on others.
USER_AWARDS: Final = Lookup(current("user_awards"), ("text", "timestamptz", "bigint", "int"), limit=8)
LISTED = Parameters(LIMIT, CURSOR, MIN_POSITION)
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@routes.get(
    "/users/{username}/achievements", **read_route(list[representations.Award], LISTED, 404, headers=PAGED | INCOMPLETE)
)
async def list_awards(queries: Queries, request: Request, username: PathUsername) -> Response:
    """List a user's awards that stand, latest first."""
    given = await asked(queries, request, LISTED)
    key = lookup_key(username)
    wanted = PAGES.page(given, key)
    moment, award_id = wanted.after or (END, 2**63 - 1)
    reading = await queries.reader.look_up(USER_AWARDS, key, moment, award_id, wanted.limit)
    if not reading.rows:
        raise not_found(reading, UnknownUser("No user has this name."))
    (found,) = reading.rows
    # The list is bare, so that it is incomplete is said beside it.
    headers = {"Incomplete": "true"} if found["incomplete"] else {}
    if found["goes_on"]:
        last = [found["awarded_at"].isoformat(), found["award_id"]]
        headers["Link"] = PAGES.next_link(request, given, last, key)
    return respond_written(reading, found["awards"].encode(), headers)
