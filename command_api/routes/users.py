"""Commands about users."""

from fastapi import Request, Response

from command_api.routes.answering import body_of, execute
from command_api.routes.documentation import command_route
from command_api.schemas.users import NewUser, UserChanges
from shared.domain.names import lookup_key
from shared.http import representations
from shared.http.app import api_router
from shared.http.documentation import PathUsername

router = api_router(tag="users")


@router.post("/users", **command_route(NewUser, {201: representations.User}, 409, 413, 415))
async def create_user(request: Request) -> Response:
    """Register a user."""
    body = await body_of(request, NewUser)
    return await execute(request, body.command(), location="/users/{username}/")


@router.patch("/users/{username}", **command_route(UserChanges, {200: representations.User}, 404, 409, 413, 415))
async def change_user(request: Request, username: PathUsername) -> Response:
    """Change a user's name, language or time zone."""
    body = await body_of(request, UserChanges)
    return await execute(request, body.command_for(lookup_key(username)))
