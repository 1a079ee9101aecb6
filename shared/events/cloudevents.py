"""Recorded events as CloudEvents 1.0 in Kafka's binary mode: attributes in `ce_*` headers, the data as the value.

Two extension attributes let a consumer drop what it had and notice what it missed: `position` is the event's place in
the log, `previous` that of the event before it in the same partition (0 for the first).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events.codec import timestamp
from shared.events.envelope import RecordedEvent

Headers = Sequence[tuple[str, bytes | None]]

SOURCE = b"/laurels/log"


class MalformedRecord(ValueError):
    """The headers are not those of a Laurels event."""


@dataclass(frozen=True, slots=True)
class Consumed:
    """A record as it is consumed; `data` is left undecoded."""

    position: int
    previous: int
    type: str
    schema_version: int
    user_id: int | None
    recorded_at: datetime
    event_id: UUID
    data: str


def to_headers(event: RecordedEvent, previous: int) -> list[tuple[str, bytes]]:
    """Return the headers of a record."""
    headers = [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event.event_id).encode()),
        ("ce_source", SOURCE),
        ("ce_type", event.type.encode()),
        ("ce_time", timestamp(event.recorded_at).encode()),
        ("ce_schemaversion", b"%d" % event.schema_version),
        ("ce_position", b"%d" % event.position),
        ("ce_previous", b"%d" % previous),
    ]
    if event.user_id is not None:
        headers.append(("ce_subject", b"%d" % event.user_id))
    return headers


def from_record(headers: Headers, value: bytes | None) -> Consumed:
    """Return what a record says. Raises MalformedRecord."""
    found = {name: text or b"" for name, text in headers}
    try:
        consumed = Consumed(
            position=_number(found["ce_position"]),
            previous=_number(found["ce_previous"]),
            type=found["ce_type"].decode(),
            schema_version=_number(found["ce_schemaversion"]),
            user_id=_number(found["ce_subject"]) if "ce_subject" in found else None,
            recorded_at=_moment(found["ce_time"].decode()),
            event_id=UUID(found["ce_id"].decode()),
            data=(value or b"").decode(),
        )
        if consumed.previous >= consumed.position:
            raise ValueError("an event does not follow on itself")  # noqa: TRY301 - one treatment for all
    except (KeyError, ValueError) as error:
        message = f"not a Laurels event: {type(error).__name__} {error}"
        raise MalformedRecord(message) from error
    return consumed


def _number(text: bytes) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError("a number is out of range")
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no offset")
    return moment
