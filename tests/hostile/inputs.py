"""Bodies, names, paths and queries that nobody sends who means well, each within what the HTTP layer lets through."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Input:
    """A request; `statuses` are those that it may be answered with, `results` those that a command in it may have."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = JSON
    statuses: tuple[int, ...] = (400,)
    results: tuple[int, ...] = (400,)


Named = Iterator[tuple[str, Input]]
"""Inputs with what they are called. Each is made when it is its turn: together they are hundreds of megabytes."""


def filled(pattern: bytes, size: int, *, head: bytes = b"", tail: bytes = b"") -> bytes:
    """Repeat a pattern until the whole, with head and tail, has nearly so many bytes."""
    return head + pattern * ((size - len(head) - len(tail)) // len(pattern)) + tail


def members(count: int) -> bytes:
    """Return so many members of an object, each with another name."""
    return b",".join(b'"f%d":1' % number for number in range(count))


VALUES: Final[dict[str, Callable[[int], bytes]]] = {
    "empty arrays": lambda size: filled(b"[],", size, head=b"[", tail=b"[]]"),
    "empty objects": lambda size: filled(b"{},", size, head=b"[", tail=b"{}]"),
    "numbers": lambda size: filled(b"1,", size, head=b"[", tail=b"1]"),
    "empty texts": lambda size: filled(b'"",', size, head=b"[", tail=b'""]'),
    "nested arrays": lambda size: filled(b"[", size // 2) + filled(b"]", size // 2),
    "nested objects": lambda size: filled(b'{"a":', size // 2, tail=b"1") + filled(b"}", size // 6),
    "open arrays": lambda size: filled(b"[", size),
    "towers": lambda size: filled(b"[" * 400 + b"]" * 400 + b",", size, head=b"[", tail=b"1]"),
    "long integers": lambda size: filled(b"1" * 4_300 + b",", size, head=b"[", tail=b"1]"),
    "endless integer": lambda size: filled(b"1", size),
    "endless fraction": lambda size: filled(b"1", size, head=b"1."),
    "huge exponent": lambda size: filled(b"9", size, head=b"1e"),
    "long fractions": lambda size: filled(b"1." + b"1" * 800 + b",", size, head=b"[", tail=b"1]"),
    "escapes": lambda size: filled(b"\\u0301", size, head=b'"', tail=b'"'),
    "escaped quotation marks": lambda size: filled(b'\\"', size, head=b'"', tail=b'"'),
    "text without an end": lambda size: filled(b'\\"', size, head=b'"'),
    "surrogates": lambda size: filled(b"\\ud800", size, head=b'"', tail=b'"'),
    "commas in a text": lambda size: filled(b",", size, head=b'"', tail=b'"'),
    "duplicates": lambda size: filled(b'"a":1,', size, head=b"{", tail=b'"a":1}'),
    "broken UTF-8": lambda size: filled(b"a", size, head=b'"', tail=b'\xff"'),
    "white space": lambda size: filled(b" ", size),
}

TEXTS: Final[dict[str, str]] = {
    # Two marks in this order have to be sorted, and each has to be looked at for every other one.
    "marks": "\u0301\u0316" * (125 * KIB),
    "some marks": "\u0301\u0316" * (15 * KIB),
    # One character of which compatibility normalisation makes eighteen.
    "long forms": "\ufdfa" * (80 * KIB),
    "spaces": " " * (250 * KIB),
    "Hangul jamo": "\u1112\u1161\u11ab" * (25 * KIB),
    "both directions": "\u05d01" * (80 * KIB),
    "joiners": "\u0915\u094d\u200d" * (25 * KIB),
    "emoji": "\U0001f3c6" * (60 * KIB),
    "digits": "9" * (250 * KIB),
    "fraction of a second": "2024-01-01T00:00:00." + "0" * (250 * KIB) + "Z",
}


def everything(username: str, achievement_id: int, award_id: int) -> Named:
    """Yield all inputs; the three name what exists."""
    yield from bodies()
    yield from fields(username, achievement_id, award_id)
    yield from arrays()
    yield from lines()


def bodies() -> Named:
    """Yield bodies of a single command."""
    for name, make in VALUES.items():
        yield f"user of {name}", Input("POST", "/users/", make(MIB))
        yield f"username of {name}", Input("POST", "/users/", b'{"username":' + make(MIB - 20) + b"}")
    for count in (90_000, 1_500):
        yield f"user of {count} unknown fields", Input("POST", "/users/", b"{" + members(count) + b"}")
        yield (
            f"achievement of {count} unknown fields",
            Input("POST", "/users/achievements", b"{" + members(count) + b"}"),
        )


def fields(username: str, achievement_id: int, award_id: int) -> Named:
    """Yield texts that are far too long, for each field of each command."""
    commands = {
        ("POST", "/users/"): ("username", "user_language", "user_timezone"),
        ("PATCH", f"/users/{username}/"): ("username",),
        ("POST", "/users/achievements"): ("achievement_name", "achievement_description", "achievement_language"),
        ("PUT", f"/users/achievements/{achievement_id}/translations/ru"): ("achievement_name",),
        ("POST", f"/users/{username}/achievements/"): ("achievement_name", "awarded_at"),
        ("DELETE", f"/users/{username}/achievements/{award_id}"): ("reason",),
    }
    for (method, path), names in commands.items():
        for field in names:
            for name, text in TEXTS.items():
                yield f"{field} of {method} {path}, {name}", Input(method, path, _json({field: text}))


def arrays() -> Named:
    """Yield arrays for `/commands`."""
    for name, make in VALUES.items():
        yield f"array of {name}", Input("POST", "/commands", make(16 * MIB), statuses=(200, 400))
        array = b'[{"type":"revoke-award","award_id":1},' + make(15 * MIB) + b"]"
        yield f"array with an element of {name}", Input("POST", "/commands", array, statuses=(400, 413))
    repeated = {
        "10,001 elements": b"1,",
        "400,000 commands": b'{"type":"revoke-award","award_id":1},',
        "900 KiB before 300,000 numbers": b'"%s",' % (b"a" * 900 * KIB) + b"1," * 300_000,
    }
    for name, element in repeated.items():
        yield f"array of {name}", Input("POST", "/commands", filled(element, 16 * MIB, head=b"[", tail=b"1]"))
    small = b",".join([b"[" + b"[]," * 500 + b"[]]"] * 9_000)
    yield "array of small arrays", Input("POST", "/commands", b"[" + small + b"]", statuses=(200,))
    unknown = b",".join([b'{"type":"revoke-award",' + members(150) + b"}"] * 9_000)
    yield "array of unknown fields", Input("POST", "/commands", b"[" + unknown + b"]", statuses=(200,))
    for name, text in TEXTS.items():
        element = _json({"type": "award-achievement", "username": text, "achievement_id": 1})
        array = b"[" + b",".join([element] * 16) + b"]"
        yield f"array of names, {name}", Input("POST", "/commands", array, statuses=(200,), results=(404,))


def lines() -> Named:
    """Yield streams of lines for `/commands`."""
    for name, make in VALUES.items():
        yield f"lines of {name}", _lines(b"\n".join([make(MIB - 1)] * 4))
    for name, text in TEXTS.items():
        short = _json({"type": "award-achievement", "username": text[:256], "achievement_id": 1}) + b"\n"
        yield f"lines of names, {name}", _lines(short * 4_000, 404)
    yield "endless line", _lines(b"a" * (64 * MIB), 413)
    yield "empty lines", _lines(b"\n" * (16 * MIB))
    yield "lines of spaces", _lines(b" \r\n" * (5 * MIB))
    yield "lines of empty objects", _lines(b"{}\n" * 50_000)


def _lines(body: bytes, *results: int) -> Input:
    return Input("POST", "/commands", body, NDJSON, (200,), results or (400,))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
