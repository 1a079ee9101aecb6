"""The head of a log that is being restored: it takes in what a log has, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.restoring import Head
from shared.events.envelope import RecordedEvent
from shared.events.json_lines import MalformedLine
from shared.events.types import Event
from tests.support.histories import (
    START,
    History,
    award,
    change,
    create,
    histories,
    history_of,
    recorded,
    revoke,
    translate,
)

HISTORY = history_of(
    [create(1, "en", "UTC"), change(0, 0, None, None), translate(0, "ru", 0), award(0, 0, 0, 0), revoke(0)]
)
USER, CATALOGUE, OTHER_USER, CHANGED, TRANSLATED, AWARDED, REVOKED = range(7)


@given(histories(), st.integers(1, 9))
def test_a_head_ends_where_the_log_does(history: History, partitions: int) -> None:
    """Positions, times and last ids are those of the last events, of all and of each partition."""
    rows = recorded(history, partitions)
    head = Head([0] * partitions)
    for row, fact in zip(rows, history, strict=True):
        head.follow(row, fact.event)

    events = [fact.event for fact in history]
    assert (len(rows), rows[-1].recorded_at) == (head.position, head.recorded_at)
    assert [
        max((row.position for row in rows if row.partition == partition), default=0) for partition in range(partitions)
    ] == head.partition_positions
    assert max(row.position for row in rows if row.user_id is None) == head.catalogue_position
    assert sum(event.type == "user-created" for event in events) == head.last_user_id
    assert sum(event.type == "achievement-defined" for event in events) == head.last_achievement_id


def follow(place: int, row: dict[str, Any], event: dict[str, Any]) -> None:
    """Let a log come in whose event at this place (0-based) is changed."""
    head = Head([0, 0])
    lines: list[tuple[RecordedEvent, Event]] = [
        (row, fact.event) for row, fact in zip(recorded(HISTORY, 2), HISTORY, strict=True)
    ]
    lines[place] = (replace(lines[place][0], **row), replace(lines[place][1], **event))
    for line in lines[: place + 1]:
        head.follow(*line)


def test_the_history_of_these_tests_is_followed() -> None:
    """What the tests below refuse is what they change."""
    assert [
        "user-created", "achievement-defined", "user-created", "user-changed", "achievement-translated",
        "achievement-awarded", "award-revoked",
    ] == [fact.event.type for fact in HISTORY]  # fmt: skip
    follow(REVOKED, {}, {})


@pytest.mark.parametrize(
    ("place", "row", "event", "said"),
    [
        (USER, {"position": 2}, {}, "position 2 does not follow on 0"),
        (CATALOGUE, {"position": 1}, {}, "position 1 does not follow on 1"),
        (CHANGED, {"recorded_at": START - timedelta(microseconds=1)}, {}, "before the event"),
        (OTHER_USER, {}, {"user_id": 1}, "not number 2"),
        (OTHER_USER, {}, {"user_id": 3}, "not number 2"),
        (CATALOGUE, {}, {"achievement_id": 2}, "not number 1"),
        (CHANGED, {}, {"user_id": 3}, "no user 3"),
        (CHANGED, {}, {"user_id": 0}, "no user 0"),
        (TRANSLATED, {}, {"achievement_id": 2}, "no achievement 2"),
        (AWARDED, {}, {"award_id": 5}, "award's id"),
        (AWARDED, {}, {"user_id": 3}, "no user 3"),
        (AWARDED, {}, {"achievement_id": 0}, "no achievement 0"),
        (REVOKED, {}, {"user_id": 3}, "no user 3"),
        (REVOKED, {}, {"achievement_id": 2}, "no achievement 2"),
    ],
)
def test_an_event_that_cannot_follow_is_refused(
    place: int, row: dict[str, Any], event: dict[str, Any], said: str
) -> None:
    """Gaps, repetitions, times that go back and ids that nobody gave are no log's."""
    with pytest.raises(MalformedLine, match=said):
        follow(place, row, event)
