"""The whole API as one OpenAPI document, whichever service is asked, and what it says about a path.

`openapi.json` is made from the routes of both APIs and of the operator's side by `laurels openapi`; a test holds it to
them.
"""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of the whole API."""
    found: dict[str, Any] = json.loads(files("shared.http").joinpath("openapi.json").read_text("utf-8"))
    return found


def allowed_methods(path: str) -> list[str]:
    """Return the methods that some service answers on this path (without a trailing slash); empty if it is unknown."""
    for pattern, methods in _patterns():
        if pattern.fullmatch(path):
            return methods
    return []


@cache
def _patterns() -> list[tuple[re.Pattern[str], list[str]]]:
    # Literal paths go before those with parameters, as they do in the services.
    paths = sorted(document().get("paths", {}).items(), key=lambda item: item[0].count("{"))
    return [(_pattern(path), _methods(operations)) for path, operations in paths]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path))
    )


def _methods(operations: dict[str, Any]) -> list[str]:
    methods = {method.upper() for method in operations}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
