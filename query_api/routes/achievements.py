"""Reads about the catalogue."""

import orjson
from fastapi import Request, Response

from query_api.answering import Queries, asked, columns_of, not_found, respond
from query_api.paging import ID, List
from query_api.parameters import CURSOR, LANGUAGE_ASKED, LIMIT, MIN_POSITION
from query_api.queries import current
from query_api.routes.documentation import MIN_POSITION_ONLY, PAGED, read_route
from shared.domain.errors import InvalidInput, UnknownAchievement
from shared.http import representations
from shared.http.documentation import PathId
from shared.http.negotiation import accepted_languages
from shared.http.parameters import Parameters, path_id
from shared.http.routing import Routes

routes = Routes[Queries](tag="achievements")

PAGES = List("achievements", (ID,))
FIELDS = columns_of(representations.Achievement)
LISTED = Parameters(LIMIT, CURSOR, LANGUAGE_ASKED, MIN_POSITION)


@routes.get("/users/achievements", **read_route(list[representations.Achievement], LISTED, headers=PAGED))
async def list_achievements(queries: Queries, request: Request) -> Response:
    """List the catalogue, oldest first, in the language asked for where there are texts."""
    given = await asked(queries, request, LISTED)
    wanted = PAGES.page(given)
    after = wanted.after[0] if wanted.after else 0
    languages = _languages(queries, request, given[LANGUAGE_ASKED])
    reading = await queries.reader.read(current("achievements"), after, wanted.limit + 1, languages)
    shown = [{name: row[name] for name in FIELDS} for row in reading.rows[: wanted.limit]]
    headers = {"Vary": "Accept-Language"}
    if len(reading.rows) > wanted.limit:
        headers["Link"] = PAGES.next_link(request, given, [shown[-1]["achievement_id"]])
    return respond(reading, shown, headers)


@routes.get(
    "/users/achievements/{achievement_id}", **read_route(representations.TranslatedAchievement, MIN_POSITION_ONLY, 404)
)
async def get_achievement(queries: Queries, request: Request, achievement_id: PathId) -> Response:
    """Show one achievement with all its translations."""
    await asked(queries, request, MIN_POSITION_ONLY)
    reading = await queries.reader.read(current("achievement"), path_id("achievement_id", achievement_id))
    if not reading.rows:
        raise not_found(reading, UnknownAchievement("No achievement has this id."))
    row = reading.rows[0]
    translations = orjson.loads(row["translations"])
    return respond(reading, {**{name: row[name] for name in FIELDS}, "translations": translations})


def _languages(queries: Queries, request: Request, wanted: str | None) -> list[str]:
    if wanted is None:
        return accepted_languages(request.headers.get("accept-language", ""))
    if wanted not in queries.languages:
        raise InvalidInput("/language", f"The language has to be one of: {', '.join(sorted(queries.languages))}.")
    return [wanted.lower()]
