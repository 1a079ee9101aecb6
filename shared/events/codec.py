"""Events to JSON and back, as their classes say.

Encoding writes the newest schema version of a type. Decoding takes any version that was ever written: an old one is
upcasted, version by version, to the newest.
"""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, date, datetime
from types import NoneType
from typing import Any, Final

import orjson

from shared.events.types import EVENT_TYPES, Event, Upcaster

SCHEMA_VERSIONS: dict[str, int] = {name: len(cls.upcasters) + 1 for name, cls in EVENT_TYPES.items()}
"""The newest version of each type."""

UPCASTERS: dict[tuple[str, int], Upcaster] = {
    (name, version): upcaster for name, cls in EVENT_TYPES.items() for version, upcaster in enumerate(cls.upcasters, 1)
}
"""(type, version) to the function that turns data of that version into data of the next."""


class UnknownEvent(ValueError):
    """The type or its schema version is not one that this code knows."""


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC; microseconds are left out where there are none."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encode(event: Event) -> str:
    """Return the event's data as compact JSON."""
    return orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()


def decode(type_name: str, schema_version: int, data: str | bytes) -> Event:
    """Return the event of a stored row or a Kafka record.

    Raises UnknownEvent for a type or version from the future, ValueError or TypeError for data that does not fit.
    """
    values = _upcasted(type_name, schema_version, data)
    for name, read, _ in TEXT_FIELDS[type_name]:
        if name in values:
            values[name] = read(values[name])
    return EVENT_TYPES[type_name](**values)


def upcast(type_name: str, schema_version: int, data: str | bytes) -> str:
    """Return the data as JSON in the newest version of its type. Raises as `decode` does."""
    return json.dumps(_upcasted(type_name, schema_version, data), ensure_ascii=False, separators=(",", ":"))


def _upcasted(type_name: str, schema_version: int, data: str | bytes) -> dict[str, Any]:
    newest = SCHEMA_VERSIONS.get(type_name, 0)
    if not 1 <= schema_version <= newest:
        message = f"unknown event: type {type_name!r}, version {schema_version}"
        raise UnknownEvent(message)
    values: dict[str, Any] = orjson.loads(data)
    for version in range(schema_version, newest):
        values = UPCASTERS[type_name, version](values)
    return values


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    # Encoding writes the offset as it is, and every event is to say its times in UTC.
    return found.astimezone(UTC) if found.tzinfo else found


def is_count(value: object) -> bool:
    """Tell whether a value is a number that PostgreSQL's bigint takes, from 0 on."""
    return type(value) is int and 0 <= value < 2**63


_FITS: Final[dict[object, Callable[[Any], bool]]] = {
    int: is_count,
    str: lambda value: type(value) is str,
    str | None: lambda value: type(value) in {str, NoneType},
    bool: lambda value: type(value) is bool,
    datetime: lambda value: type(value) is datetime and value.tzinfo is not None,
    date: lambda value: type(value) is date,
}
_AS_TEXT: Final[dict[object, tuple[Callable[[str], object], Callable[[Any], str]]]] = {
    datetime: (_instant, timestamp),
    date: (date.fromisoformat, date.isoformat),
}
FIELDS: Final = {name: [(field.name, _FITS[field.type]) for field in fields(cls)] for name, cls in EVENT_TYPES.items()}
"""Each type's fields, with what tells whether a value fits: a dataclass takes anything."""
TEXT_FIELDS: Final = {
    name: [(field.name, *_AS_TEXT[field.type]) for field in fields(cls) if field.type in _AS_TEXT]
    for name, cls in EVENT_TYPES.items()
}
"""Those fields that JSON has as text, with what reads it, and what writes it as `encode` does; one reads more forms."""
