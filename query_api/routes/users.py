"""Reads about users."""

from typing import Final

from fastapi import Request, Response

from query_api.answering import Queries, asked, columns_of, not_found, respond
from query_api.lookups import Lookup
from query_api.paging import ID, List
from query_api.parameters import CURSOR, LIMIT, MIN_POSITION
from query_api.queries import current
from query_api.routes.documentation import MIN_POSITION_ONLY, PAGED, read_route
from shared.domain.errors import UnknownUser
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.documentation import PathUsername
from shared.http.parameters import Parameters
from shared.http.routing import Routes

routes = Routes[Queries](tag="users")

PAGES = List("users", (ID,))
USER: Final = Lookup(current("user"), ("text",))
FIELDS = columns_of(representations.User)
LISTED = Parameters(LIMIT, CURSOR, MIN_POSITION)


@routes.get("/users", **read_route(list[representations.User], LISTED, headers=PAGED))
async def list_users(queries: Queries, request: Request) -> Response:
    """List all users, oldest first."""
    given = await asked(queries, request, LISTED)
    wanted = PAGES.page(given)
    after = wanted.after[0] if wanted.after else 0
    reading = await queries.reader.read(current("users"), after, wanted.limit + 1)
    shown = [{name: row[name] for name in FIELDS} for row in reading.rows[: wanted.limit]]
    headers = {}
    if len(reading.rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [shown[-1]["user_id"]])
    return respond(reading, shown, headers)


@routes.get("/users/{username}", **read_route(representations.User, MIN_POSITION_ONLY, 404))
async def get_user(queries: Queries, request: Request, username: PathUsername) -> Response:
    """Show one user."""
    await asked(queries, request, MIN_POSITION_ONLY)
    reading = await queries.reader.look_up(USER, lookup_key(username))
    if not reading.rows:
        raise not_found(reading, UnknownUser("No user has this name."))
    return respond(reading, {name: reading.rows[0][name] for name in FIELDS})
