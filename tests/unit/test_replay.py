"""A log whose events come in one after the other: what commands lead to is taken in, and nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_api.decisions.awards import CLOCK_SKEW
from command_api.replay import Replay
from shared.events.envelope import RecordedEvent
from shared.events.json_lines import MalformedLine
from shared.events.types import Event
from tests.support.histories import (
    LANGUAGES,
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


LATEST = START + timedelta(days=9)


def replay(partitions: int = 2) -> Replay:
    return Replay([0] * partitions, frozenset(LANGUAGES), LATEST)


@given(histories(), st.integers(1, 9))
@settings(deadline=None)
def test_every_log_of_the_command_side_is_taken_in(history: History, partitions: int) -> None:
    """The head is in the end what it was there: positions, times and last ids, of all and of each partition."""
    rows = recorded(history, partitions)
    coming = replay(partitions)
    for row, fact in zip(rows, history, strict=True):
        coming.follow(row, fact.event)

    events = [fact.event for fact in history]
    assert (len(rows), rows[-1].recorded_at) == (coming.state.position, coming.state.now)
    assert [
        max((row.position for row in rows if row.partition == partition), default=0) for partition in range(partitions)
    ] == coming.partition_positions
    assert max(row.position for row in rows if row.user_id is None) == coming.state.catalogue.position
    assert sum(event.type == "user-created" for event in events) == coming.state.last_user_id
    assert sum(event.type == "achievement-defined" for event in events) == coming.state.last_achievement_id
    assert not coming.state.awards


def follow(place: int, row: dict[str, Any], event: dict[str, Any]) -> None:
    """Let a log come in whose event at this place (0-based) is changed."""
    coming = replay()
    lines: list[tuple[RecordedEvent, Event]] = [
        (row, fact.event) for row, fact in zip(recorded(HISTORY, 2), HISTORY, strict=True)
    ]
    lines[place] = (replace(lines[place][0], **row), replace(lines[place][1], **event))
    for line in lines[: place + 1]:
        coming.follow(*line)


def test_the_history_of_these_tests_is_followed() -> None:
    """What the tests below refuse is what they change."""
    assert [
        "user-created", "achievement-defined", "user-created", "user-changed", "achievement-translated",
        "achievement-awarded", "award-revoked",
    ] == [fact.event.type for fact in HISTORY]  # fmt: skip
    follow(REVOKED, {}, {})


LONG = "a" * 100_000
KEYED = {"username": "Boris", "username_key": "boris"}


@pytest.mark.parametrize(
    ("place", "row", "event", "said"),
    [
        (USER, {"position": 2}, {}, "position 2 does not follow on 0"),
        (CATALOGUE, {"position": 1}, {}, "position 1 does not follow on 1"),
        (CHANGED, {"recorded_at": START - timedelta(microseconds=1)}, {}, "before the event"),
        (USER, {"recorded_at": START - timedelta(days=40_000)}, {}, "before the event"),
        (USER, {"recorded_at": LATEST + timedelta(microseconds=1)}, {}, "in the future"),
        (REVOKED, {"recorded_at": datetime.max.replace(tzinfo=UTC)}, {}, "in the future"),
        (OTHER_USER, {}, {"user_id": 1}, "'user_id' has a value"),
        (OTHER_USER, {}, {"user_id": 3}, "'user_id' has a value"),
        (OTHER_USER, {}, {"username": "ADA", "username_key": "ada"}, "another user has this name"),
        (OTHER_USER, {}, {"username": ""}, "'username' is refused: a username has 1 to 64"),
        (OTHER_USER, {}, {"username": LONG, "username_key": LONG}, "'username' is refused"),
        (OTHER_USER, {}, {"username": "a/b", "username_key": "a/b"}, "'username' is refused"),
        (OTHER_USER, {}, {"username": "a\u202eb", "username_key": "a\u202eb"}, "'username' is refused"),
        (OTHER_USER, {}, {"username": " Boris "}, "'username' has a value that does not follow"),
        (OTHER_USER, {}, {"username_key": "Боб"}, "'username_key' has a value"),
        (OTHER_USER, {}, {"user_timezone": "Nowhere/Land"}, "'user_timezone' is refused: this has to be an IANA"),
        (OTHER_USER, {}, {"user_language": "zz"}, r"'user_language' is refused.*en, ru \(LAURELS_LANGUAGES\)"),
        (CATALOGUE, {}, {"achievement_id": 2}, "'achievement_id' has a value"),
        (CATALOGUE, {}, {"achievement_point": 2**62}, "'achievement_point' is refused"),
        (CATALOGUE, {}, {"achievement_name": "\u200b"}, "'achievement_name' is refused"),
        (CATALOGUE, {}, {"achievement_key": "another"}, "'achievement_key' has a value"),
        (CATALOGUE, {}, {"achievement_description": LONG}, "'achievement_description' is refused"),
        (CATALOGUE, {}, {"achievement_language": "zz"}, "LAURELS_LANGUAGES"),
        (CHANGED, {}, {"user_id": 3}, "no user 3"),
        (CHANGED, {}, {"user_id": 0}, "no user 0"),
        (CHANGED, {}, {"username": "Боб", "username_key": "боб"}, "another user has this name"),
        (CHANGED, {}, {**KEYED, "username": "\u202e"}, "'username' is refused"),
        (TRANSLATED, {}, {"achievement_id": 2}, "no achievement has this id"),
        (TRANSLATED, {}, {"achievement_language": "EN"}, "LAURELS_LANGUAGES"),
        (AWARDED, {}, {"award_id": 5}, "'award_id' has a value"),
        (AWARDED, {}, {"user_id": 3}, "no user 3"),
        (AWARDED, {}, {"achievement_id": 0}, "no achievement has this id"),
        (AWARDED, {}, {"points": 11}, "'points' has a value"),
        (AWARDED, {}, {"awarded_at": LATEST}, "more than 5 minutes ahead"),
        (AWARDED, {}, {"local_day": date.max}, "'local_day' has a value"),
        (AWARDED, {}, {"local_day": START.date() - timedelta(days=2)}, "'local_day' has a value"),
        (REVOKED, {}, {"user_id": 3}, "no user 3"),
        (REVOKED, {}, {"achievement_id": 2}, "no achievement 2"),
        (REVOKED, {}, {"award_id": 0}, "'award_id' is refused"),
        (REVOKED, {}, {"reason": LONG}, "'reason' is refused"),
    ],
)
def test_an_event_that_cannot_follow_is_refused(
    place: int, row: dict[str, Any], event: dict[str, Any], said: str
) -> None:
    """What no command leads to, by its own rules or after the events before it, is in no log."""
    with pytest.raises(MalformedLine, match=said):
        follow(place, row, event)


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_a_day_of_another_time_zone_database_is_taken_in(days: int) -> None:
    """The day of an award was fixed when it was recorded, whatever the time zone database says now."""
    follow(AWARDED, {}, {"local_day": HISTORY[AWARDED].recorded_at.date() + timedelta(days=days)})


def test_clocks_may_differ_a_little() -> None:
    """A log from a machine whose clock is ahead is no log of the future; beyond that it would hold commands up."""
    assert timedelta(minutes=5) == CLOCK_SKEW
    follow(USER, {"recorded_at": LATEST}, {})
