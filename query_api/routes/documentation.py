"""What the OpenAPI document says of every read."""

from typing import Any

from query_api.paging import CURSOR_LIMIT
from shared.http.documentation import LANGUAGE, LAST_NUMBER, MOMENT, header, problem_responses

POSITION = {"type": "integer", "minimum": 0, "maximum": LAST_NUMBER}

PARAMETERS: dict[str, dict[str, Any]] = {
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}},
    "cursor": {
        "schema": {"type": "string", "format": "cursor", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": CURSOR_LIMIT},
        "description": "Opaque, from the Link of the page before, and only for the list that it was in.",
    },
    "language": {"schema": LANGUAGE, "description": "Texts in this language where there are any."},
    "include_unawarded": {"schema": {"type": "boolean", "default": False}, "description": "Count every user."},
    "days": {"schema": {"type": "integer", "minimum": 2, "maximum": 366, "default": 7}},
    "mode": {
        "schema": {"type": "string", "enum": ["longest", "current"], "default": "longest"},
        "description": "Which run of each user is listed and measured: the longest, or the one that still goes on.",
    },
    "as_of": {
        "schema": MOMENT,
        "description": "Count only awards up to this moment; without an offset it is UTC.",
    },
    "known_at": {
        "schema": {"anyOf": [POSITION, MOMENT]},
        "description": "Answer from what had been recorded up to this log position, or by this moment of the past; one "
        "of the future is a 400. A position that the log does not have yet is waited for, as for min_position.",
    },
    "min_position": {
        "schema": POSITION,
        "description": "Wait until the read models have reached this log position; a 503 says that they have not.",
    },
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "examples": ["wait=5"]},
    "description": "wait=SECONDS waits so long for min_position or known_at, at most 10.",
}

IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of an answer that the client has.",
}


def read_route(
    model: Any,  # noqa: ANN401 - a model or a list of them
    *parameters: str,
    paged: bool = False,
    hot: bool = False,
    problems: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Return the documentation of a read: its shape, its query parameters, whether it is kept ready, its problems."""
    names = (*parameters, *(("limit", "cursor") if paged else ()), "min_position")
    headers = {"Read-Position": header("integer", "All events up to this log position are in the answer.")}
    if paged:
        headers["Link"] = header("string", 'The next page, rel="next".')
    given = [*({"name": name, "in": "query"} | PARAMETERS[name] for name in names), PREFER]
    responses: dict[int | str, dict[str, Any]] = {200: {"model": model, "headers": headers}}
    if hot:
        headers["ETag"] = header("string", "Names this answer, where it is kept ready to send.")
        responses[304] = {"description": "The answer is the one that If-None-Match names."}
        given.append(IF_NONE_MATCH)
    return {
        "response_model": None,
        "responses": responses | problem_responses(400, 401, 403, 406, 429, 503, *problems),
        "openapi_extra": {"parameters": given},
    }
