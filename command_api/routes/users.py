"""Commands about users."""

from fastapi import Request, Response

from command_api.routes.answering import Service, body_of, execute
from command_api.routes.documentation import command_route
from command_api.schemas.users import NewUser, UserChanges
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.documentation import PathUsername
from shared.http.routing import Routes

routes = Routes[Service](tag="users")


@routes.post("/users", **command_route(NewUser, {201: representations.User}, 409, 413, 415, located=True))
async def create_user(service: Service, request: Request) -> Response:
    """Register a user."""
    body = await body_of(service, request, NewUser)
    return await execute(service, request, body.command(), location="/users/{username}/")


@routes.route(
    "PATCH", "/users/{username}", **command_route(UserChanges, {200: representations.User}, 404, 409, 413, 415)
)
async def change_user(service: Service, request: Request, username: PathUsername) -> Response:
    """Change a user's name, language or time zone."""
    body = await body_of(service, request, UserChanges)
    return await execute(service, request, body.command_for(lookup_key(username)))
