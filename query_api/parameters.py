"""The query parameters of the reads, each declared once."""

from datetime import datetime
from typing import Final

from shared.domain.moments import moment
from shared.http.documentation import LANGUAGE, LAST_NUMBER, MOMENT
from shared.http.parameters import Parameter, boolean, choice, integer, text

CURSOR_LIMIT: Final = 256
"""Characters of a cursor at the most; those that are given have some forty."""
POSITION: Final = {"type": "integer", "minimum": 0, "maximum": LAST_NUMBER}
TIMESTAMP: Final = "an RFC 3339 timestamp such as 2026-01-31T12:00:00Z."


def _moment(given: str) -> datetime:
    try:
        return moment(given)
    except ValueError:
        raise ValueError(f"This has to be {TIMESTAMP}") from None


def _position_or_moment(given: str) -> int | datetime:
    if given.isascii() and given.isdigit():
        if len(given) > len(str(LAST_NUMBER)) or int(given) > LAST_NUMBER:
            raise ValueError(f"A log position is an integer from 0 to {LAST_NUMBER}.")
        return int(given)
    try:
        return moment(given)
    except ValueError:
        raise ValueError(f"This has to be a log position or {TIMESTAMP}") from None


LIMIT: Final = integer("limit", 1, 100, 50)
CURSOR: Final = text(
    "cursor",
    {"type": "string", "format": "cursor", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": CURSOR_LIMIT},
    "Opaque, from the Link of the page before, and only for the list that it was in.",
)
LANGUAGE_ASKED: Final = text("language", LANGUAGE, "Texts in this language where there are any.")
INCLUDE_UNAWARDED: Final = boolean("include_unawarded", "Count every user.")
DAYS: Final = integer("days", 2, 366, 7)
MODE: Final = choice(
    "mode",
    "longest",
    "current",
    description="Which run of each user is listed and measured: the longest, or the one that still goes on.",
)
AS_OF: Final[Parameter[datetime | None]] = Parameter(
    "as_of", _moment, None, MOMENT, "Count only awards up to this moment; without an offset it is UTC."
)
KNOWN_AT: Final[Parameter[int | datetime | None]] = Parameter(
    "known_at",
    _position_or_moment,
    None,
    {"anyOf": [POSITION, MOMENT]},
    "Answer from what had been recorded up to this log position, or by this moment of the past; one of the future is a "
    "400. A position that the log does not have yet is waited for, as for min_position.",
)
MIN_POSITION: Final = integer(
    "min_position",
    0,
    LAST_NUMBER,
    0,
    "Wait until the read models have reached this log position; a 503 says that they have not.",
)
NEVER_CACHED: Final = (MIN_POSITION, CURSOR, AS_OF, KNOWN_AT)
"""A read with one of these is not one that many clients ask for."""
