"""The lines of an export: CloudEvents in JSON, which come back as they were, and what is refused."""

import json
import string
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import codec
from shared.events.codec import encode
from shared.events.envelope import RecordedEvent, partition_of
from shared.events.json_lines import MalformedLine, from_line, to_line
from shared.events.types import AchievementAwarded
from tests.support.histories import START, History, create, define, histories, history_of, recorded

AWARD = AchievementAwarded(award_id=8, user_id=3, achievement_id=2, points=10, awarded_at=START, local_day=START.date())
RECORD = RecordedEvent(
    position=8,
    event_id=UUID("0198c0de-0000-7000-8000-000000000001"),
    partition=1,
    type="achievement-awarded",
    schema_version=1,
    user_id=3,
    data=encode(AWARD),
    recorded_at=START,
)
GOLDEN = (
    '{"specversion":"1.0","id":"0198c0de-0000-7000-8000-000000000001","source":"/laurels/log",'
    '"type":"achievement-awarded","time":"2026-03-10T22:00:00.250000Z","subject":"3",'
    '"datacontenttype":"application/json","schemaversion":1,"position":8,'
    '"data":{"award_id":8,"user_id":3,"achievement_id":2,"points":10,'
    '"awarded_at":"2026-03-10T22:00:00.250000Z","local_day":"2026-03-10"}}\n'
)
REQUIRED = ("specversion", "id", "source", "type", "time", "datacontenttype", "schemaversion", "position", "data")

Change = Callable[[dict[str, Any]], object]


def test_a_line_is_a_cloudevent_in_these_bytes() -> None:
    """Exports that exist have to be read for ever: the format does not change, and its names fit CloudEvents."""
    assert GOLDEN.encode() == to_line(RECORD)
    assert all(set(name) <= {*string.ascii_lowercase, *string.digits} for name in json.loads(GOLDEN))


@given(histories(), st.integers(1, 1024))
def test_a_log_survives_its_lines(history: History, partitions: int) -> None:
    """Every event comes back, in one line without a break in it, with the partition that it has elsewhere."""
    for fact, row in zip(history, recorded(history, partitions), strict=True):
        line = to_line(row)
        assert 1 == line.count(b"\n")
        assert (row, fact.event) == from_line(line, partitions)


def test_data_keep_what_postgresql_makes_of_them() -> None:
    """The data are written as they are stored, and read whatever their spaces and order."""
    stored = json.dumps(json.loads(RECORD.data), sort_keys=True, indent=1)
    row, event = from_line(to_line(RECORD).replace(RECORD.data.encode(), stored.replace("\n", "").encode()), 2)
    assert AWARD == event
    assert json.loads(stored) == json.loads(row.data)


def test_an_event_of_the_catalogue_has_no_subject() -> None:
    """Nobody is the subject of the catalogue, and its events travel in partition 0."""
    row = recorded(history_of([]), 4)[1]
    assert "subject" not in json.loads(to_line(row))
    assert partition_of(None, 4) == from_line(to_line(row), 4)[0].partition


def test_an_old_version_is_kept_and_read_in_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded stays as it was; the event beside it is the upcasted one."""
    monkeypatch.setitem(codec.SCHEMA_VERSIONS, "achievement-awarded", 2)
    monkeypatch.setitem(
        codec.UPCASTERS, ("achievement-awarded", 1), lambda data: {**data, "points": data["points"] * 2}
    )
    row, event = from_line(to_line(RECORD), 2)
    assert RECORD == row
    assert 20 == getattr(event, "points")  # noqa: B009 - one type of many


def test_attributes_that_others_added_do_not_matter() -> None:
    """Whoever passes events on may add extensions."""
    assert from_line(to_line(RECORD), 2) == from_line(changed(lambda line: line.update(traceparent="00-1-2-03")), 2)


def changed(change: Change) -> bytes:
    line = json.loads(GOLDEN)
    change(line)
    return json.dumps(line).encode()


@pytest.mark.parametrize("name", REQUIRED)
def test_a_line_without_an_attribute_is_refused(name: str) -> None:
    """Each attribute has to be there."""
    with pytest.raises(MalformedLine, match=f"'{name}' is missing"):
        from_line(changed(lambda line: line.pop(name)), 2)


@pytest.mark.parametrize("name", [*REQUIRED, "subject"])
@pytest.mark.parametrize("value", [None, True, -1, 1.5, 2**63, "", "seven", "٣", "03", [], {}], ids=repr)
def test_a_line_with_a_broken_attribute_is_refused(name: str, value: object) -> None:
    """Whatever an attribute holds instead of its own value, the line is refused and nothing else is raised."""
    with pytest.raises(MalformedLine):
        from_line(changed(lambda line: line.update({name: value})), 2)


def test_a_time_without_an_offset_is_refused() -> None:
    """What could be any zone's time is not guessed."""
    with pytest.raises(MalformedLine, match="'time'"):
        from_line(changed(lambda line: line.update(time="2026-03-10T22:00:00")), 2)


@pytest.mark.parametrize("line", [b"", b"\n", b"null", b"[]", b"5", b"{", b"\xff", GOLDEN[:-2].encode(), b"{} {}"])
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    """A line that is cut off, or is something else, is refused."""
    with pytest.raises(MalformedLine, match="JSON"):
        from_line(line, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("award_id", "8"),
        ("award_id", True),
        ("award_id", 2**63),
        ("user_id", -3),
        ("points", 1.5),
        ("points", None),
        ("awarded_at", "2026-03-10T22:00:00"),
        ("awarded_at", 5),
        ("local_day", "10.03.2026"),
        ("unknown", 1),
    ],
)
def test_data_that_do_not_fit_are_refused(name: str, value: object) -> None:
    """Every field has a value of its kind, so that nothing made of the log stumbles over it later."""
    with pytest.raises(MalformedLine, match="data"):
        from_line(changed(lambda line: line["data"].update({name: value})), 2)


def test_a_missing_field_is_refused() -> None:
    """Half an event is none."""
    with pytest.raises(MalformedLine, match="points"):
        from_line(changed(lambda line: line["data"].pop("points")), 2)


@pytest.mark.parametrize("change", [{"repeatable": 1}, {"achievement_name": 5}, {"achievement_name": None}], ids=repr)
def test_a_definition_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    """Texts are texts, and truth is no number."""
    line = json.loads(to_line(recorded(history_of([define(1, "en", 5, repeatable=False)]), 2)[2]))
    line["data"] |= change
    with pytest.raises(MalformedLine, match=next(iter(change))):
        from_line(json.dumps(line).encode(), 2)


@pytest.mark.parametrize(("type_name", "version"), [("user-deleted", 1), ("achievement-awarded", 2)])
def test_an_event_from_the_future_is_refused(type_name: str, version: int) -> None:
    """A type or version that this code does not know is not stored."""
    with pytest.raises(MalformedLine, match="unknown event"):
        from_line(changed(lambda line: line.update(type=type_name, schemaversion=version)), 2)


@pytest.mark.parametrize("subject", ["4", None])
def test_a_subject_of_somebody_else_is_refused(subject: str | None) -> None:
    """The partition follows from the subject, so it has to be the user whom the data are about."""
    with pytest.raises(MalformedLine, match="subject"):
        from_line(changed(lambda line: line.update(subject=subject) if subject else line.pop("subject")), 2)


def test_a_nul_is_refused_and_its_spelling_is_not() -> None:
    """PostgreSQL stores no NUL; a backslash with the same letters behind it is a text like any other."""
    line = to_line(recorded(history_of([create(1, "en", "UTC")]), 2)[2]).decode()
    with pytest.raises(MalformedLine, match="NUL"):
        from_line(line.replace('"Боб"', r'"B\u0000b"').encode(), 2)
    _, event = from_line(line.replace('"Боб"', r'"B\\u0000b"').encode(), 2)
    assert r"B\u0000b" == getattr(event, "username")  # noqa: B009 - one type of many


def test_a_lone_surrogate_is_refused() -> None:
    """No log holds what cannot be written as UTF-8."""
    line = to_line(recorded(history_of([create(1, "en", "UTC")]), 2)[2]).decode()
    with pytest.raises(MalformedLine, match="JSON"):
        from_line(line.replace('"Боб"', r'"\ud800"').encode(), 2)


def with_awarded_at(value: str) -> bytes:
    return to_line(replace(RECORD, data=json.dumps(json.loads(RECORD.data) | {"awarded_at": value})))


@pytest.mark.parametrize("value", ["2026-W11-2T22:00:00.25Z", "20260310T220000Z", "2026-03-10 22:00:00+00:00"])
def test_a_time_has_one_spelling(value: str) -> None:
    """PostgreSQL reads what is stored, and not every form that Python takes is one for it."""
    with pytest.raises(MalformedLine, match="'awarded_at' is not written as it is there"):
        from_line(with_awarded_at(value), 2)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_beyond_the_calendar_is_refused(value: str) -> None:
    """What no clock shows in UTC is a line that is wrong, and not a failure."""
    with pytest.raises(MalformedLine, match="the data are not those"):
        from_line(with_awarded_at(value), 2)
