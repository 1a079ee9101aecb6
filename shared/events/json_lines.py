"""Recorded events in the JSON format of CloudEvents 1.0, one a line: what an export of the log is made of.

The attributes are those of the Kafka records, without `previous`: the line before has the position before. Partitions
are left out, since each instance has its own number of them.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from shared.events import cloudevents, codec
from shared.events.envelope import RecordedEvent, partition_of
from shared.events.types import Event

CONTENT_TYPE: Final = "application/json"
SOURCE: Final = cloudevents.SOURCE.decode()


class MalformedLine(ValueError):
    """The message says what is wrong, to go on after "line 7: ", without a full stop."""


def to_line(event: RecordedEvent) -> bytes:
    """Return the event as one line with its end; the data are as they are stored."""
    attributes = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": SOURCE,
        "type": event.type,
        "time": codec.timestamp(event.recorded_at),
        "subject": None if event.user_id is None else str(event.user_id),
        "datacontenttype": CONTENT_TYPE,
        "schemaversion": event.schema_version,
        "position": event.position,
        "data": orjson.Fragment(event.data),
    }
    if event.user_id is None:
        del attributes["subject"]
    return orjson.dumps(attributes, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes, partitions: int) -> tuple[RecordedEvent, Event]:
    """Return what a line says, for a log of so many partitions, and its event in the newest version.

    Attributes that others added do not matter. Raises MalformedLine.
    """
    attributes = _object(line)
    try:
        recorded = _recorded(attributes, partitions)
    except KeyError as error:
        raise MalformedLine(f"the attribute {error} is missing") from None
    event = _decoded(recorded, attributes["data"])
    if recorded.user_id != event.subject:
        raise MalformedLine("the subject is not the user of the data")
    return recorded, event


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise MalformedLine("it is not JSON, or it is cut off") from None
    if not isinstance(value, dict):
        raise MalformedLine("it is not a JSON object")
    return value


def _recorded(attributes: dict[str, Any], partitions: int) -> RecordedEvent:
    for name, expected in _FIXED.items():
        if attributes[name] != expected:
            raise MalformedLine(f"{name!r} is not {expected!r}")
    user_id = _user_id(attributes["subject"]) if "subject" in attributes else None
    return RecordedEvent(
        position=_number(attributes, "position"),
        event_id=_read(attributes, "id", UUID),
        partition=partition_of(user_id, partitions),
        type=_read(attributes, "type", str),
        schema_version=_number(attributes, "schemaversion"),
        user_id=user_id,
        data=_stored(attributes["data"]),
        recorded_at=_read(attributes, "time", _moment),
    )


def _decoded(recorded: RecordedEvent, data: dict[str, Any]) -> Event:
    try:
        event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
    except codec.UnknownEvent as error:
        raise MalformedLine(str(error)) from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise MalformedLine(f"the data are not those of a {recorded.type}: {error}") from None
    for name, fits in codec.FIELDS[recorded.type]:
        if not fits(getattr(event, name)):
            raise MalformedLine(f"the data are not those of a {recorded.type}: {name!r} has a value that does not fit")
    # PostgreSQL reads the data as they are stored, and knows fewer ways to write a time than Python.
    if recorded.schema_version == codec.SCHEMA_VERSIONS[recorded.type]:
        for name, _, write in codec.TEXT_FIELDS[recorded.type]:
            if data[name] != write(getattr(event, name)):
                raise MalformedLine(
                    f"the data are not those of a {recorded.type}: {name!r} is not written as it is there"
                )
    return event


def _number(attributes: dict[str, Any], name: str) -> int:
    value = attributes[name]
    if not codec.is_count(value):
        raise MalformedLine(f"{name!r} is not a number of the log")
    return int(value)


def _read(attributes: dict[str, Any], name: str, read: Callable[[str], Any]) -> Any:  # noqa: ANN401 - what `read` returns
    value = attributes[name]
    try:
        if type(value) is str:
            return read(value)
    except ValueError:
        pass
    raise MalformedLine(f"{name!r} has a value that does not fit")


def _user_id(text: object) -> int:
    # The one spelling of a number, so that equal subjects are equal texts.
    if type(text) is not str or not _DECIMAL.fullmatch(text):
        raise MalformedLine("'subject' is not the id of a user")
    return int(text)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no offset")
    return moment


def _stored(data: object) -> str:
    if not isinstance(data, dict):
        raise MalformedLine("'data' is not a JSON object")
    stored = orjson.dumps(data).decode()
    if "\\u0000" in stored and _NUL.search(stored):
        raise MalformedLine("the data have a NUL character, which no log holds")
    return stored


_FIXED: Final = {"specversion": "1.0", "source": SOURCE, "datacontenttype": CONTENT_TYPE}
_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,18}")
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
