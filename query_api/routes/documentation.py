"""What the OpenAPI document says of every read."""

from typing import Any

from query_api.parameters import MIN_POSITION
from shared.http.documentation import header, problem_responses
from shared.http.parameters import Parameters

MIN_POSITION_ONLY = Parameters(MIN_POSITION)
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "examples": ["wait=5"]},
    "description": "wait=SECONDS waits so long for min_position or known_at, at most 10.",
}
READ_POSITION = {"Read-Position": header("integer", "All events up to this log position are in the response.")}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of a response that the client has.",
}


def read_route(
    model: Any,  # noqa: ANN401 - a model or a list of them
    parameters: Parameters = MIN_POSITION_ONLY,
    *problems: int,
    cached: bool = False,
    headers: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the documentation of a read: its shape, its query parameters, its problems, whether it is cached."""
    given = [*parameters.documented(), PREFER]
    shown = READ_POSITION | (headers or {})
    responses: dict[int | str, dict[str, Any]] = {200: {"model": model, "headers": shown}}
    responses |= problem_responses(400, 401, 403, 406, 429, 503, *problems, decided=READ_POSITION)
    if cached:
        shown["ETag"] = header("string", "Names this response, where it is cached.")
        responses[304] = {"description": "The response is the one that If-None-Match names.", "headers": shown}
        given.append(IF_NONE_MATCH)
    return {
        "response_model": None,
        "responses": responses,
        "openapi_extra": {"parameters": given},
    }


PAGED = {"Link": header("string", 'The next page, rel="next".')}
"""The header of a list in pages."""
INCOMPLETE = {"Incomplete": header("boolean", "Present, and true, while events of the user are in quarantine.")}
"""The header of a list that cannot say so in its rows."""
