"""Pages of a list: `limit`, an opaque `cursor`, and the `Link` to the next page.

A cursor holds the sort key of the last row shown, so it stays valid while rows are added.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request

from shared.runtime.problems import InputError, Problem, invalid_input

DEFAULT_LIMIT: Final = 50
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Page:
    """What the client asked for; `after` is the sort key to go on from, None for the first page."""

    limit: int
    after: Sequence[Any] | None


def page(parameters: Mapping[str, str], kind: str, *types: type) -> Page:
    """Return the page asked for, of a list whose sort key has these types. Raises a 400 Problem."""
    limit = integer(parameters, "limit", 1, MOST, DEFAULT_LIMIT)
    cursor = parameters.get("cursor")
    return Page(limit, None if cursor is None else _decode(cursor, kind, types))


def integer(parameters: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    """Return a query parameter as a number within its bounds. Raises a 400 Problem."""
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):  # noqa: PLR2004 - digits of 2^53
        raise invalid_input(InputError(f"/{name}", f"This has to be an integer from {least} to {most}."))
    return int(text)


def next_link(request: Request, parameters: Mapping[str, str], kind: str, after: Sequence[Any]) -> str:
    """Return the Link header of the page that follows the row with this sort key."""
    query = urlencode({**parameters, "cursor": _encode(kind, after)})
    path = quote(request.scope["path"], safe="/")
    return f'<{path}/?{query}>; rel="next"'


def _encode(kind: str, after: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([kind, *after])).decode().rstrip("=")


def _decode(cursor: str, kind: str, types: Sequence[type]) -> Sequence[Any]:
    try:
        found = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    fits = isinstance(found, list) and len(found) == len(types) + 1 and found[0] == kind
    if not fits or any(type(value) is not wanted for value, wanted in zip(found[1:], types, strict=True)):
        raise bad_cursor()
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in found[1:]):
        raise bad_cursor()
    after: list[Any] = found[1:]
    return after


def bad_cursor() -> Problem:
    """Return the 400 for a cursor that no page gave."""
    return invalid_input(InputError("/cursor", "The cursor is not one that this list gave."))
