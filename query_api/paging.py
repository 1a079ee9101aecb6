"""Pages of a list: `limit`, an opaque `cursor`, and the `Link` to the next page.

A cursor holds the sort key of the last row shown, so it stays valid while rows are added, and a digest of the question,
so that it is refused by any other list. It is wholly checked and not signed: a made-up one only names a position in
a list that its client may read anyway, and the processes need no secret in common.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request

from query_api.parameters import CURSOR, CURSOR_LIMIT, LIMIT, MIN_POSITION
from shared.domain.moments import moment
from shared.http.parameters import Given
from shared.http.problems import InputError, Problem, invalid_input

NOT_OF_THE_QUESTION: Final = frozenset(parameter.name for parameter in (LIMIT, CURSOR, MIN_POSITION))

SortKey = Callable[[object], Any]
"""Returns a value of a cursor as the query takes it. Raises ValueError for any that no row can have."""


def whole(most: int) -> SortKey:
    """Return the check of an integer from 1 to `most`."""

    def checked(value: object) -> int:
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError
        return value

    return checked


def instant(value: object) -> datetime:
    """Check an instant, an RFC 3339 timestamp."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - the one error of a SortKey
    return moment(value)


ID: Final = whole(2**53 - 1)


@dataclass(frozen=True, slots=True)
class Page:
    """What the client asked for; `after` is the sort key to go on from, None for the first page."""

    limit: int
    after: Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class List:
    """A list that is paged: what its question is called, and what its rows are sorted by."""

    kind: str
    keys: tuple[SortKey, ...]

    def page(self, given: Given, *about: str) -> Page:
        """Return the page asked for; `about` is what the path says the list is of. Raises a 400 Problem."""
        cursor = given[CURSOR]
        after = None if cursor is None else self._decode(cursor, self._question(given.texts, about))
        return Page(given[LIMIT], after)

    def next_link(self, request: Request, given: Given, after: Sequence[Any], *about: str) -> str:
        """Return the Link header of the page that follows the row with this sort key."""
        cursor = orjson.dumps([self._question(given.texts, about), *after])
        encoded = base64.urlsafe_b64encode(cursor).decode().rstrip("=")
        query = urlencode({**given.texts, CURSOR.name: encoded})
        path = quote(request.scope["path"], safe="/")
        return f'<{path}/?{query}>; rel="next"'

    def _question(self, parameters: Mapping[str, str], about: Sequence[str]) -> str:
        asked = sorted((name, value) for name, value in parameters.items() if name not in NOT_OF_THE_QUESTION)
        return hashlib.blake2b(orjson.dumps([self.kind, about, asked]), digest_size=6).hexdigest()

    def _decode(self, cursor: str, question: str) -> Sequence[Any]:
        try:
            if len(cursor) > CURSOR_LIMIT:
                raise _bad_cursor()
            found = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
            if not isinstance(found, list) or found[:1] != [question]:
                raise _bad_cursor()
            return [key(value) for key, value in zip(self.keys, found[1:], strict=True)]
        except (binascii.Error, ValueError):
            raise _bad_cursor() from None


def _bad_cursor() -> Problem:
    """Return the 400 for a cursor that no page gave."""
    return invalid_input(InputError("/cursor", "The cursor is not one that this list gave."))
