"""What a client accepts, by the weights of its headers (RFC 9110, 12.5)."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.http.problems import Problem

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
LANGUAGES_READ: Final = 50
"""Languages of a header that are looked at."""


def check_accept(accept: str, offered: Sequence[str]) -> None:
    """Raise a 406 Problem unless an Accept header allows one of the media types."""
    wanted = accept.strip() or "*/*"
    if wanted == "*/*" or any(accepts(wanted, media_type) for media_type in offered):
        return
    raise Problem(406, "not-acceptable", f"Answers here are {' or '.join(offered)}.")


def accepts(header: str, media_type: str) -> bool:
    """Tell whether an Accept header allows a media type; the most specific range decides (RFC 9110, 12.5.1)."""
    qualities = {name.lower(): weight for name, weight in _weighted(header)}
    for wanted in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if wanted in qualities:
            return qualities[wanted] > 0
    return False


def accepted_languages(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, best first, in lower case; `ru-RU` asks for `ru` too."""
    ranges = [(name, weight) for name, weight in _weighted(header) if name and name != "*" and weight > 0]
    ranges.sort(key=lambda found: -found[1])
    names = [name.lower() for name, _ in ranges]
    return [tag for name in names for tag in (name, name.partition("-")[0])][:LANGUAGES_READ]


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = (_quality(piece[2:]) for piece in parameters if piece[:2].lower() == "q=")
        yield name, next(weights, 1.0)


def _quality(text: str) -> float:
    """Return a q-value; what is malformed counts as 0."""
    try:
        return float(text)
    except ValueError:
        return 0.0
