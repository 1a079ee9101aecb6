"""Instants as people write them."""

import re
from datetime import UTC, datetime

LONGEST = 64
"""Characters of a timestamp at the most; one with an offset and microseconds has 32."""

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?P<offset>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)


def moment(text: str) -> datetime:
    """Return the instant of an RFC 3339 timestamp in UTC; without an offset it is read as UTC. Raise ValueError."""
    match = _RFC_3339.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        message = "not an RFC 3339 timestamp"
        raise ValueError(message)
    try:
        found = datetime.fromisoformat(text.upper())
        return found.astimezone(UTC) if match["offset"] else found.replace(tzinfo=UTC)
    except OverflowError:
        message = "an instant beyond the calendar"
        raise ValueError(message) from None
