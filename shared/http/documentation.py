"""Pieces of the OpenAPI document that both APIs use."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from shared.http.problems import ERRORS_LISTED, MEDIA_TYPE

LAST_NUMBER: Final = 2**53 - 1
"""The greatest id and position: JSON's numbers are exact up to here."""
LANGUAGE: Final = {"type": "string", "format": "language", "examples": ["en"]}
"""Which languages there are is a setting, so no list of them stands in the document."""
MOMENT: Final = {"type": "string", "format": "date-time", "maxLength": 64}

PathId = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LAST_NUMBER})]
PathUsername = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "examples": ["ada"]})]
PathLanguage = Annotated[str, WithJsonSchema(LANGUAGE)]

PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:laurels:already-awarded"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "Of a 500: the id that its cause has in the log."},
        "errors": {
            "type": "array",
            "maxItems": ERRORS_LISTED,
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def header(kind: str, description: str) -> dict[str, Any]:
    """Return a header of a response."""
    return {"description": description, "schema": {"type": kind}}


RETRY_AFTER: Final = {"Retry-After": header("integer", "Seconds after which to try again.")}
DECIDED: Final = frozenset({404, 409})
PROBLEM_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": header("string", "The kind of credentials that are missing.")},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


def problem_responses(
    *statuses: int, decided: Mapping[str, Any] = MappingProxyType({})
) -> dict[int | str, dict[str, Any]]:
    """Return the problems that a route may answer with; `decided` are headers of those that the data decide."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "headers": {**PROBLEM_HEADERS.get(status, {}), **(decided if status in DECIDED else {})},
            "content": {MEDIA_TYPE: {"schema": PROBLEM}},
        }
        for status in sorted(set(statuses))
    }
