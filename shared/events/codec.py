"""Events to JSON and back.

Encoding writes the newest schema version of a type. Decoding takes any version that was ever written: an old one is
upcasted, version by version, to the newest by the functions in `UPCASTERS`.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import orjson

from shared.events.types import EVENT_TYPES, Event

SCHEMA_VERSIONS: dict[str, int] = dict.fromkeys(EVENT_TYPES, 1)

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}
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
    for name, read in _READERS.items():
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


_READERS: dict[str, Callable[[str], object]] = {
    "awarded_at": _instant,
    "local_day": date.fromisoformat,
}

WRITERS: dict[str, Callable[[Any], str]] = {"awarded_at": timestamp, "local_day": date.isoformat}
"""How `encode` writes what `_READERS` read; they take other forms, too."""
