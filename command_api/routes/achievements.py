"""Commands about the catalogue."""

from fastapi import Request, Response

from command_api.routes.answering import body_of, execute, service
from command_api.routes.documentation import command_route
from command_api.schemas.achievements import NewAchievement, NewTranslation
from shared.domain.errors import InvalidInput
from shared.http import representations
from shared.http.app import api_router, path_id
from shared.http.documentation import PathId, PathLanguage

router = api_router(tag="achievements")


@router.post("/users/achievements", **command_route(NewAchievement, {201: representations.Achievement}, 409, 413, 415))
async def define_achievement(request: Request) -> Response:
    """Add an achievement to the catalogue."""
    body = await body_of(request, NewAchievement)
    return await execute(request, body.command(), location="/users/achievements/{achievement_id}")


@router.put(
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
async def translate_achievement(request: Request, achievement_id: PathId, language: PathLanguage) -> Response:
    """Give an achievement its text in a language."""
    body = await body_of(request, NewTranslation)
    languages = service(request).context["languages"]
    if language not in languages:
        raise InvalidInput("/language", f"The language has to be one of: {', '.join(sorted(languages))}.")
    return await execute(request, body.command_for(path_id("achievement_id", achievement_id), language))
