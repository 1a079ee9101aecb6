"""Reads about users."""

from typing import Final

from fastapi import Request, Response

from query_api.answering import answer, nothing, parameters, service
from query_api.paging import ID, List
from query_api.queries import current
from query_api.reading import Lookup
from query_api.routes.documentation import read_route
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.app import api_router
from shared.http.documentation import PathUsername

router = api_router(tag="users")

PAGES = List("users", (ID,))
USER: Final = Lookup(current("user"), ("text",))
FIELDS = ("user_id", "username", "user_language", "user_timezone", "created_at", "updated_at")


@router.get("/users", **read_route(list[representations.User], paged=True))
async def list_users(request: Request) -> Response:
    """List all users, oldest first."""
    given = await parameters(request, "limit", "cursor")
    wanted = PAGES.page(given)
    after = wanted.after[0] if wanted.after else 0
    reading = await service(request).reader.read(current("users"), after, wanted.limit + 1)
    shown = [{name: row[name] for name in FIELDS} for row in reading.rows[: wanted.limit]]
    headers = {}
    if len(reading.rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [shown[-1]["user_id"]])
    return answer(reading, shown, headers)


@router.get("/users/{username}", **read_route(representations.User, problems=(404,)))
async def get_user(request: Request, username: PathUsername) -> Response:
    """Show one user."""
    await parameters(request)
    reading = await service(request).reader.look_up(USER, lookup_key(username))
    if not reading.rows:
        raise nothing(reading, UnknownUser("No user has this name."))
    return answer(reading, {name: reading.rows[0][name] for name in FIELDS})
