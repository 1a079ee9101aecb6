"""Reads about the catalogue."""

import orjson
from fastapi import Request, Response

from query_api.answering import answer, nothing, parameters, service
from query_api.paging import ID, List
from query_api.queries import current
from query_api.routes.documentation import read_route
from shared.domain.errors import InvalidInput, UnknownAchievement
from shared.http import representations
from shared.http.app import api_router, path_id, quality
from shared.http.documentation import PathId

router = api_router(tag="achievements")

PAGES = List("achievements", (ID,))
FIELDS = (
    "achievement_id",
    "achievement_name",
    "achievement_description",
    "achievement_language",
    "achievement_point",
    "repeatable",
    "created_at",
    "updated_at",
)


@router.get("/users/achievements", **read_route(list[representations.Achievement], "language", paged=True))
async def list_achievements(request: Request) -> Response:
    """List the catalogue, oldest first, in the language asked for where there are texts."""
    given = await parameters(request, "limit", "cursor", "language")
    wanted = PAGES.page(given)
    after = wanted.after[0] if wanted.after else 0
    languages = _languages(request, given.get("language"))
    reading = await service(request).reader.read(current("achievements"), after, wanted.limit + 1, languages)
    shown = [{name: row[name] for name in FIELDS} for row in reading.rows[: wanted.limit]]
    headers = {"Vary": "Accept-Language"}
    if len(reading.rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [shown[-1]["achievement_id"]])
    return answer(reading, shown, headers)


@router.get(
    "/users/achievements/{achievement_id}", **read_route(representations.TranslatedAchievement, problems=(404,))
)
async def get_achievement(request: Request, achievement_id: PathId) -> Response:
    """Show one achievement with all its translations."""
    await parameters(request)
    reading = await service(request).reader.read(current("achievement"), path_id("achievement_id", achievement_id))
    if not reading.rows:
        raise nothing(reading, UnknownAchievement("No achievement has this id."))
    row = reading.rows[0]
    translations = orjson.loads(row["translations"])
    return answer(reading, {**{name: row[name] for name in FIELDS}, "translations": translations})


def _languages(request: Request, asked: str | None) -> list[str]:
    if asked is None:
        return accepted_languages(request.headers.get("accept-language", ""))
    known = request.app.state.languages
    if asked not in known:
        raise InvalidInput("/language", f"The language has to be one of: {', '.join(sorted(known))}.")
    return [asked.lower()]


def accepted_languages(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, best first, in lower case; `ru-RU` asks for `ru` too."""
    ranges = []
    for part in header.split(","):
        name, *options = (piece.strip() for piece in part.split(";"))
        weight = next((quality(option[2:]) for option in options if option.startswith("q=")), 1.0)
        if name and name != "*" and weight > 0:
            ranges.append((weight, name))
    ranges.sort(key=lambda found: -found[0])
    names = [name.lower() for _, name in ranges]
    return [tag for name in names for tag in (name, name.partition("-")[0])][:50]
