"""Commands about the catalogue."""

from fastapi import Request, Response

from command_api.routes.answering import Service, body_of, execute
from command_api.routes.documentation import command_route
from command_api.schemas.achievements import NewAchievement, NewTranslation
from shared.domain.errors import InvalidInput
from shared.http import representations
from shared.http.documentation import PathId, PathLanguage
from shared.http.parameters import path_id
from shared.http.routing import Routes

routes = Routes[Service](tag="achievements")


@routes.post(
    "/users/achievements",
    **command_route(NewAchievement, {201: representations.Achievement}, 409, 413, 415, located=True),
)
async def define_achievement(service: Service, request: Request) -> Response:
    """Add an achievement to the catalogue."""
    body = await body_of(service, request, NewAchievement)
    return await execute(service, request, body.command(), location="/users/achievements/{achievement_id}")


@routes.route(
    "PUT",
    "/users/achievements/{achievement_id}/translations/{language}",
    **command_route(
        NewTranslation,
        {201: representations.TranslatedAchievement, 200: representations.TranslatedAchievement},
        404,
        409,
        413,
        415,
    ),
)
async def translate_achievement(
    service: Service, request: Request, achievement_id: PathId, language: PathLanguage
) -> Response:
    """Give an achievement its text in a language."""
    body = await body_of(service, request, NewTranslation)
    languages = service.context["languages"]
    if language not in languages:
        raise InvalidInput("/language", f"The language has to be one of: {', '.join(sorted(languages))}.")
    return await execute(service, request, body.command_for(path_id("achievement_id", achievement_id), language))
