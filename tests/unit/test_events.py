"""Events: their encoding, their envelope in Kafka, and their partitions."""

import json
import string
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import codec
from shared.events.cloudevents import Consumed, Headers, MalformedRecord, from_record, to_headers
from shared.events.codec import SCHEMA_VERSIONS, UnknownEvent, decode, encode, timestamp, upcast
from shared.events.envelope import CATALOGUE_PARTITION, RecordedEvent, partition_of
from shared.events.types import EVENT_TYPES, AchievementDefined, AchievementTranslated, Event, UserCreated

# A log holds no lone surrogates and no NUL: commands that have them are refused.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
IDS = st.integers(1, 2**53 - 1)
INSTANTS = st.datetimes(timezones=st.just(UTC))


def values_of(field: str) -> st.SearchStrategy[object]:
    """Return what a field of that name may hold."""
    special: dict[str, st.SearchStrategy[object]] = {
        "awarded_at": INSTANTS,
        "local_day": st.dates(),
        "repeatable": st.booleans(),
        "reason": st.none() | TEXTS,
        "points": IDS,
        "achievement_point": IDS,
    }
    return special.get(field, IDS if field.endswith("_id") else TEXTS)


EVENTS: st.SearchStrategy[Event] = st.one_of(
    *(st.builds(cls, **{field.name: values_of(field.name) for field in fields(cls)}) for cls in EVENT_TYPES.values())
)

RECORDED = st.builds(
    RecordedEvent,
    position=IDS,
    event_id=st.uuids(),
    partition=st.integers(0, 1023),
    type=st.sampled_from(sorted(EVENT_TYPES)),
    schema_version=st.integers(1, 9),
    user_id=st.none() | IDS,
    data=TEXTS,
    recorded_at=INSTANTS,
)

ADA = UserCreated(user_id=1, username="Ada", username_key="ada", user_language="en", user_timezone="UTC")
RECORD = RecordedEvent(
    position=8,
    event_id=UUID("0198c0de-0000-7000-8000-000000000001"),
    partition=1,
    type="user-created",
    schema_version=1,
    user_id=1,
    data=encode(ADA),
    recorded_at=datetime(2026, 1, 31, 12, 0, tzinfo=UTC),
)


@given(EVENTS)
def test_an_event_survives_its_encoding(event: Event) -> None:
    """What was encoded is decoded to the same, for every type and any values."""
    assert event == decode(event.type, SCHEMA_VERSIONS[event.type], encode(event))
    assert event == decode(event.type, SCHEMA_VERSIONS[event.type], encode(event).encode())


@given(EVENTS)
def test_an_encoding_survives_a_change_of_spaces_and_order(event: Event) -> None:
    """PostgreSQL's jsonb keeps neither spaces nor the order of fields."""
    stored = json.dumps(json.loads(encode(event)), sort_keys=True, indent=1)
    assert event == decode(event.type, SCHEMA_VERSIONS[event.type], stored)


def test_every_event_has_a_version() -> None:
    """Each type is encoded in a known version."""
    assert EVENT_TYPES.keys() == SCHEMA_VERSIONS.keys()


@pytest.mark.parametrize(
    ("type_name", "version"), [("user-created", 0), ("user-created", 2), ("user-created", -1), ("user-deleted", 1)]
)
def test_an_event_from_the_future_is_refused(type_name: str, version: int) -> None:
    """A type or a version that this code does not know is not guessed at."""
    with pytest.raises(UnknownEvent, match=type_name):
        decode(type_name, version, encode(ADA))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "null",
        "5",
        "[]",
        '"awarded_at"',
        "{}",
        '{"user_id":1}',
        encode(ADA)[:-1] + ',"unknown":1}',
        encode(ADA)[:-1] + ',"local_day":"31.01.2026"}',
        encode(ADA)[:-1] + ',"awarded_at":5}',
    ],
)
def test_data_that_do_not_fit_are_refused(data: str) -> None:
    """Data of another shape raise, and never make half an event."""
    with pytest.raises((ValueError, TypeError)):
        decode("user-created", 1, data)


def test_an_old_version_is_upcasted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version that was ever written can be read: it passes through all that follow it."""
    monkeypatch.setitem(codec.SCHEMA_VERSIONS, "user-created", 3)
    monkeypatch.setitem(
        codec.UPCASTERS, ("user-created", 1), lambda data: {"name": data["called"], "user_language": "en"}
    )
    monkeypatch.setitem(
        codec.UPCASTERS,
        ("user-created", 2),
        lambda data: {
            "user_id": 1,
            "username": data["name"],
            "username_key": data["name"].lower(),
            "user_language": data["user_language"],
            "user_timezone": "UTC",
        },
    )
    assert ADA == decode("user-created", 1, '{"called":"Ada"}')
    assert ADA == decode("user-created", 2, '{"name":"Ada","user_language":"en"}')
    assert ADA == decode("user-created", 3, encode(ADA))
    assert encode(ADA) == upcast("user-created", 1, '{"called":"Ada"}') == upcast("user-created", 3, encode(ADA))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 31, 12, 0, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC), "2026-01-31T12:00:00.123456Z"),
        (datetime(2026, 1, 31, 12, 0, tzinfo=timezone(timedelta(hours=9))), "2026-01-31T03:00:00Z"),
        (datetime.min.replace(tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_timestamp_is_in_utc(moment: datetime, expected: str) -> None:
    """Whatever offset a moment has, it is written in UTC."""
    assert expected == timestamp(moment)


@given(EVENTS)
def test_an_event_is_about_a_user_or_about_the_catalogue(event: Event) -> None:
    """The catalogue's events have no subject, all others that of their user."""
    catalogue = isinstance(event, AchievementDefined | AchievementTranslated)
    assert (None if catalogue else getattr(event, "user_id")) == event.subject  # noqa: B009 - half the types have none


@given(st.none() | IDS, st.integers(1, 1024))
def test_a_partition_exists(user_id: int | None, partitions: int) -> None:
    """Every event has a partition among those there are, and the same one every time."""
    assert 0 <= partition_of(user_id, partitions) < partitions


def test_a_partition_is_the_users_id_modulo_the_count() -> None:
    """The stored partitions depend on this rule; the catalogue travels in partition 0."""
    assert [1, 7, 0, 1, 1] == [partition_of(user_id, 8) for user_id in (1, 7, 8, 9, 2**40 + 1)]
    assert 0 == CATALOGUE_PARTITION == partition_of(None, 8)
    assert 0 == partition_of(5, 1)


@given(RECORDED, st.integers(0, 2**53))
def test_a_record_survives_kafka(event: RecordedEvent, distance: int) -> None:
    """Headers and value give back what was published, and the position before it in the partition."""
    previous = max(0, event.position - 1 - distance)
    consumed = from_record(to_headers(event, previous), event.data.encode())
    assert (
        Consumed(
            position=event.position,
            previous=previous,
            type=event.type,
            schema_version=event.schema_version,
            user_id=event.user_id,
            recorded_at=event.recorded_at,
            event_id=event.event_id,
            data=event.data,
        )
        == consumed
    )


def test_a_record_is_a_cloudevent_in_binary_mode() -> None:
    """The headers are those of CloudEvents 1.0, with the two extensions, spelt as the specification wants."""
    expected = [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"0198c0de-0000-7000-8000-000000000001"),
        ("ce_source", b"/laurels/log"),
        ("ce_type", b"user-created"),
        ("ce_time", b"2026-01-31T12:00:00Z"),
        ("ce_schemaversion", b"1"),
        ("ce_position", b"8"),
        ("ce_previous", b"5"),
        ("ce_subject", b"1"),
    ]
    headers = to_headers(RECORD, 5)
    assert expected == headers
    attributes = [name.removeprefix("ce_") for name, _ in headers if name.startswith("ce_")]
    assert all(set(name) <= {*string.ascii_lowercase, *string.digits} for name in attributes)


def test_a_record_of_the_catalogue_has_no_subject() -> None:
    """Nobody is the subject of the catalogue."""
    record = RecordedEvent(
        position=1,
        event_id=RECORD.event_id,
        partition=0,
        type="achievement-defined",
        schema_version=1,
        user_id=None,
        data="{}",
        recorded_at=RECORD.recorded_at,
    )
    headers = to_headers(record, 0)
    assert "ce_subject" not in dict(headers)
    assert from_record(headers, b"{}").user_id is None


def test_headers_that_others_added_do_not_matter() -> None:
    """Tracing adds headers of its own."""
    headers = [("traceparent", b"00-\xff"), *to_headers(RECORD, 5)]
    assert from_record(to_headers(RECORD, 5), b"{}") == from_record(headers, b"{}")


REQUIRED = ("ce_id", "ce_type", "ce_time", "ce_schemaversion", "ce_position", "ce_previous")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_record_without_a_header_is_malformed(name: str) -> None:
    """Each attribute that a projection needs has to be there."""
    headers = [header for header in to_headers(RECORD, 5) if header[0] != name]
    with pytest.raises(MalformedRecord, match=name):
        from_record(headers, b"{}")


@pytest.mark.parametrize("name", [*(name for name in REQUIRED if name != "ce_type"), "ce_subject"])
@pytest.mark.parametrize("value", [b"", b"seven", b"\xff\xfe", None], ids=["empty", "word", "bytes", "null"])
def test_a_record_with_a_broken_header_is_malformed(name: str, value: bytes | None) -> None:
    """Whatever bytes a header has, and if it has none at all, the record is malformed and nothing else is raised."""
    headers = [header for header in to_headers(RECORD, 5) if header[0] != name]
    with pytest.raises(MalformedRecord):
        from_record(cast("Headers", [*headers, (name, value)]), b"{}")


@pytest.mark.parametrize("position", [2**63, 10**30])
def test_a_position_that_no_log_has_is_malformed(position: int) -> None:
    """A position beyond PostgreSQL's bigint could move no checkpoint, so it is found before it is tried."""
    headers = [header for header in to_headers(RECORD, 5) if header[0] != "ce_position"]
    with pytest.raises(MalformedRecord):
        from_record([*headers, ("ce_position", b"%d" % position)], b"{}")


@pytest.mark.parametrize("value", [b"\xff", b"{\xc3"])
def test_a_record_that_is_not_utf8_is_malformed(value: bytes) -> None:
    """A value has to be text before it can be JSON."""
    with pytest.raises(MalformedRecord):
        from_record(to_headers(RECORD, 5), value)


def test_a_record_without_a_value_has_no_data() -> None:
    """A tombstone is consumed as empty data, which no projection takes for an event."""
    assert "" == from_record(to_headers(RECORD, 5), None).data


def test_a_golden_day_is_a_day() -> None:
    """Days and instants come back as such, not as text."""
    text = (
        '{"award_id":3,"user_id":1,"achievement_id":1,"points":10,'
        '"awarded_at":"2026-01-31T23:30:00+09:00","local_day":"2026-01-31"}'
    )
    event = decode("achievement-awarded", 1, text)
    assert date(2026, 1, 31) == getattr(event, "local_day")  # noqa: B009 - one type of many
    assert datetime(2026, 1, 31, 14, 30, tzinfo=UTC) == getattr(event, "awarded_at")  # noqa: B009 - one type of many


def test_a_time_without_an_offset_is_malformed() -> None:
    """What could be any zone's time is not guessed."""
    headers = [(name, b"2026-01-31T12:00:00" if name == "ce_time" else value) for name, value in to_headers(RECORD, 5)]
    with pytest.raises(MalformedRecord, match="offset"):
        from_record(headers, b"{}")


def test_an_event_that_follows_on_itself_is_malformed() -> None:
    """The event before it in the partition is an earlier one."""
    with pytest.raises(MalformedRecord, match="follow"):
        from_record(to_headers(RECORD, RECORD.position), b"{}")
