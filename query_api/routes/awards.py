"""Reads about awards."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response

from query_api.answering import nothing, parameters, service, written
from query_api.paging import bad_cursor, next_link, page
from query_api.queries.awards import USER_AWARDS
from query_api.routes.documentation import read_route
from shared import representations
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.runtime.http import api_router

router = api_router(tag="awards")

END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@router.get("/users/{username}/achievements", **read_route(list[representations.Award], paged=True, problems=(404,)))
async def list_awards(request: Request, username: str) -> Response:
    """List a user's awards that stand, latest first."""
    given = await parameters(request, "limit", "cursor")
    wanted = page(given, "awards", str, int)
    moment, award_id = _after(wanted.after)
    reading = await service(request).reader.look_up(USER_AWARDS, lookup_key(username), moment, award_id, wanted.limit)
    if not reading.rows:
        raise nothing(reading, UnknownUser("No user has this name."))
    (found,) = reading.rows
    # The list is bare, so that it is incomplete is said beside it.
    headers = {"Incomplete": "true"} if found["incomplete"] else {}
    if found["goes_on"]:
        last = [found["awarded_at"].isoformat(), found["award_id"]]
        headers["Link"] = next_link(request, given, "awards", last)
    return written(reading, found["awards"].encode(), headers)


def _after(key: Sequence[Any] | None) -> tuple[datetime, int]:
    if key is None:
        return END, 2**63 - 1
    moment, award_id = key
    try:
        return datetime.fromisoformat(str(moment)).astimezone(UTC), int(award_id)
    except (ValueError, OverflowError):
        raise bad_cursor() from None
