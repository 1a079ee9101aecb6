"""Makes the one OpenAPI document from the routes of both APIs and of the operator's side."""

from importlib import metadata
from typing import Any

from fastapi import FastAPI

import command_api.routes
import query_api.routes
from projector import admin
from shared.http.documentation import PROBLEM_SCHEMA

DESCRIPTION = """
Registers users, keeps a catalogue of achievements, awards them, and serves precomputed statistics.

Commands answer with `Event-Position`; reads answer with `Read-Position` and wait for `min_position`. Errors are
`application/problem+json`. A trailing slash is optional on every path, and `HEAD` works wherever `GET` does.
"""

OPERATIONS = """
For operators: only the all-in-one process and the projectors serve these, and no gateway passes them on. They need a
token of `LAURELS_ADMIN_TOKENS`; without that setting they answer only the machine that they run on.
"""


def whole_document() -> dict[str, Any]:
    """Return the OpenAPI document of the whole API."""
    app = FastAPI(title="Laurels", version=metadata.version("laurels"), description=DESCRIPTION.strip())
    for routes in (query_api.routes.ROUTES, command_api.routes.ROUTES, admin.ROUTES):
        app.router.routes.extend(routes.described())
    app.openapi_tags = [
        {"name": "users"},
        {"name": "achievements", "description": "The catalogue."},
        {"name": "awards"},
        {"name": "commands", "description": "Commands in bulk."},
        {"name": "statistics"},
        {"name": "operations", "description": OPERATIONS.strip()},
    ]
    document = app.openapi()
    _drop_default_validation(document)
    document["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"bearer": []}]
    return document


def _drop_default_validation(document: dict[str, Any]) -> None:
    # FastAPI adds its own 422 wherever a path has a parameter; here bad input is 400, and 422 means a reused key.
    for operations in document["paths"].values():
        for operation in operations.values():
            answer = operation["responses"].get("422", {})
            if "application/json" in answer.get("content", {}):
                del operation["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
