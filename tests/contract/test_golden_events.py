"""The stored format, byte for byte: logs that exist have to be read for ever, whatever the code becomes.

A golden is never changed. A new version of a type gets a golden of its own, beside the older ones.
"""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from shared.events.codec import SCHEMA_VERSIONS, decode, encode
from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)

EXAMPLES: dict[str, Event] = {
    "user-created": UserCreated(
        user_id=1, username="Ада Lovelace", username_key="ада lovelace", user_language="ru", user_timezone="Asia/Tokyo"
    ),
    "user-changed": UserChanged(
        user_id=1, username='Ada "A"', username_key='ada "a"', user_language="en", user_timezone="UTC"
    ),
    "achievement-defined": AchievementDefined(
        achievement_id=2,
        achievement_name="First run",
        achievement_key="first run",
        achievement_description="Five kilometres,\nno stops. 🏃",
        achievement_language="en",
        achievement_point=10,
        repeatable=False,
    ),
    "achievement-translated": AchievementTranslated(
        achievement_id=2,
        achievement_name="Первый забег",
        achievement_key="первый забег",
        achievement_description="",
        achievement_language="ru",
    ),
    "achievement-awarded": AchievementAwarded(
        award_id=9_007_199_254_740_991,
        user_id=1,
        achievement_id=2,
        points=10,
        awarded_at=datetime(2026, 1, 31, 23, 30, 0, 123456, tzinfo=UTC),
        local_day=date(2026, 2, 1),
    ),
    "award-revoked": AwardRevoked(
        award_id=9_007_199_254_740_991,
        user_id=1,
        achievement_id=2,
        points=10,
        awarded_at=datetime(2026, 1, 31, 23, 30, tzinfo=UTC),
        local_day=date(2026, 2, 1),
        reason="Took the bus.",
    ),
}

GOLDENS: dict[tuple[str, int], str] = {
    ("user-created", 1): (
        '{"user_id":1,"username":"Ада Lovelace","username_key":"ада lovelace","user_language":"ru",'
        '"user_timezone":"Asia/Tokyo"}'
    ),
    ("user-changed", 1): (
        '{"user_id":1,"username":"Ada \\"A\\"","username_key":"ada \\"a\\"","user_language":"en","user_timezone":"UTC"}'
    ),
    ("achievement-defined", 1): (
        '{"achievement_id":2,"achievement_name":"First run","achievement_key":"first run",'
        '"achievement_description":"Five kilometres,\\nno stops. 🏃","achievement_language":"en",'
        '"achievement_point":10,"repeatable":false}'
    ),
    ("achievement-translated", 1): (
        '{"achievement_id":2,"achievement_name":"Первый забег","achievement_key":"первый забег",'
        '"achievement_description":"","achievement_language":"ru"}'
    ),
    ("achievement-awarded", 1): (
        '{"award_id":9007199254740991,"user_id":1,"achievement_id":2,"points":10,'
        '"awarded_at":"2026-01-31T23:30:00.123456Z","local_day":"2026-02-01"}'
    ),
    ("award-revoked", 1): (
        '{"award_id":9007199254740991,"user_id":1,"achievement_id":2,"points":10,'
        '"awarded_at":"2026-01-31T23:30:00Z","local_day":"2026-02-01","reason":"Took the bus."}'
    ),
}


@pytest.mark.parametrize("type_name", sorted(SCHEMA_VERSIONS))
def test_an_event_is_written_in_these_bytes(type_name: str) -> None:
    """The newest version of every type is written exactly so."""
    assert GOLDENS[type_name, SCHEMA_VERSIONS[type_name]].encode() == encode(EXAMPLES[type_name]).encode()


@pytest.mark.parametrize(
    ("type_name", "version"),
    [(name, version) for name, newest in sorted(SCHEMA_VERSIONS.items()) for version in range(1, newest + 1)],
)
def test_every_version_that_was_ever_written_is_read(type_name: str, version: int) -> None:
    """Each golden is read as the event that it was written for."""
    assert EXAMPLES[type_name] == decode(type_name, version, GOLDENS[type_name, version].encode())


def test_no_golden_is_left_behind() -> None:
    """A type is never taken out of the code while logs may hold it."""
    assert set(GOLDENS) == {(name, v) for name, newest in SCHEMA_VERSIONS.items() for v in range(1, newest + 1)}


def test_a_revocation_without_a_reason_says_null() -> None:
    """A missing reason is written, so that every row of a type has the same fields."""
    revoked = EXAMPLES["award-revoked"]
    assert isinstance(revoked, AwardRevoked)
    golden = GOLDENS["award-revoked", 1].replace('"Took the bus."', "null")
    assert golden == encode(replace(revoked, reason=None))
