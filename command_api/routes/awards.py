"""Commands about awards."""

from fastapi import Request, Response

from command_api.routes.answering import Service, body_of, execute
from command_api.routes.documentation import command_route
from command_api.schemas.awards import NewAward, Revocation
from shared.domain.names import lookup_key
from shared.http import representations, strict_json
from shared.http.bodies import BODY_LIMIT, check_media_type, read_body
from shared.http.documentation import PathId, PathUsername
from shared.http.negotiation import JSON
from shared.http.parameters import path_id
from shared.http.routing import Routes

routes = Routes[Service](tag="awards")


@routes.post(
    "/users/{username}/achievements", **command_route(NewAward, {201: representations.Award}, 404, 409, 413, 415)
)
async def award_achievement(service: Service, request: Request, username: PathUsername) -> Response:
    """Award an achievement to a user."""
    body = await body_of(service, request, NewAward)
    return await execute(service, request, body.command_for(lookup_key(username)))


@routes.route(
    "DELETE",
    "/users/{username}/achievements/{award_id}",
    **command_route(Revocation, {204: None}, 404, 413, 415, body_required=False),
)
async def revoke_award(service: Service, request: Request, username: PathUsername, award_id: PathId) -> Response:
    """Revoke an award; every statistic becomes what it would be had the award never been made."""
    body = await _body(service, request)
    return await execute(service, request, body.command_for(path_id("award_id", award_id), lookup_key(username)))


async def _body(service: Service, request: Request) -> Revocation:
    raw = await read_body(request, BODY_LIMIT)
    if not raw:
        return Revocation()
    check_media_type(request, (JSON,))
    return strict_json.validate(Revocation, strict_json.parse(raw), context=service.context)
