"""Reads about awards."""

from datetime import UTC, datetime
from typing import Final

from fastapi import Request, Response

from query_api.answering import nothing, parameters, service, written
from query_api.paging import ID, List, instant
from query_api.queries import current
from query_api.reading import Lookup
from query_api.routes.documentation import read_route
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.app import api_router
from shared.http.documentation import PathUsername

router = api_router(tag="awards")

PAGES = List("awards", (instant, ID))
# Fewer in one batch than usual, so that the database answers some while this process still passes on others.
USER_AWARDS: Final = Lookup(current("user_awards"), ("text", "timestamptz", "bigint", "int"), limit=8)
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@router.get("/users/{username}/achievements", **read_route(list[representations.Award], paged=True, problems=(404,)))
async def list_awards(request: Request, username: PathUsername) -> Response:
    """List a user's awards that stand, latest first."""
    given = await parameters(request, "limit", "cursor")
    key = lookup_key(username)
    wanted = PAGES.page(given, key)
    moment, award_id = wanted.after or (END, 2**63 - 1)
    reading = await service(request).reader.look_up(USER_AWARDS, key, moment, award_id, wanted.limit)
    if not reading.rows:
        raise nothing(reading, UnknownUser("No user has this name."))
    (found,) = reading.rows
    # The list is bare, so that it is incomplete is said beside it.
    headers = {"Incomplete": "true"} if found["incomplete"] else {}
    if found["goes_on"]:
        last = [found["awarded_at"].isoformat(), found["award_id"]]
        headers["Link"] = PAGES.next_link(request, given, last, key)
    return written(reading, found["awards"].encode(), headers)
