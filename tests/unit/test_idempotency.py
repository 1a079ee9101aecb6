"""Idempotency keys: what they stand for must not change with a release, or retries would append twice."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.decisions import Command
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.users import ChangeUser, CreateUser
from command_api.idempotency import fresh_event_ids, keyed
from shared.domain.names import Name

AWARD = AwardAchievement(
    username_key="ada", achievement_key="first run", awarded_at=datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
)

# Never change a value here: keys of the past have to lead to the events of the past.
GOLDENS: list[tuple[Command, str, str]] = [
    (
        CreateUser(username=Name("Ада", "ада"), user_language="ru", user_timezone="Asia/Tokyo"),
        "37d295f38d3f98d0a8f8d53a1ce3d50b",
        "6f4712f5-a356-52bd-8742-e01989362fc0",
    ),
    (
        ChangeUser(username_key="ada", new_username=Name("Bob", "bob")),
        "ba44c9dab1cb970a04cc5c61fba02d94",
        "ea4b840b-53ed-54e3-b537-566bc569445d",
    ),
    (
        DefineAchievement(
            achievement_name=Name("First run", "first run"),
            achievement_description="",
            achievement_language="en",
            achievement_point=10,
            repeatable=True,
        ),
        "47758cdfa8a5b61709a7029ee93abd19",
        "d0fab50d-51cc-566c-8614-51277214d233",
    ),
    (
        TranslateAchievement(
            achievement_id=1,
            achievement_language="ru",
            achievement_name=Name("Забег", "забег"),
            achievement_description="5 км",
        ),
        "a5956198176a26bfd319d5000c491282",
        "2398830a-05cd-53ea-9a93-1e498f63657d",
    ),
    (AWARD, "9cc29950e63e9204a70434ded3044292", "670da0f0-3264-55d3-9d59-3af0ac2d11df"),
    (
        AwardAchievement(username_key="ada", achievement_id=1),
        "8ed65e1a087a60b78ccc35f2a4e1b1bf",
        "da308f59-c483-586e-8c7e-294069226874",
    ),
    (
        RevokeAward(award_id=7, username_key="ada", reason="A mistake."),
        "0570e022d52e743fd234531d5c857158",
        "548577eb-bd49-53ec-adcd-86180542eec3",
    ),
]


@pytest.mark.parametrize(("command", "fingerprint", "event_id"), GOLDENS)
def test_a_key_stands_for_the_same_for_ever(command: Command, fingerprint: str, event_id: str) -> None:
    """An upgrade that changed fingerprints or event ids would append what was appended before."""
    found = keyed("a-1", command)
    assert ("a-1", fingerprint, UUID(event_id)) == (found.key, found.fingerprint.hex(), found.event_id)


def test_every_command_has_a_golden() -> None:
    """No command escapes the comparison."""
    kinds = {CreateUser, ChangeUser, DefineAchievement, TranslateAchievement, AwardAchievement, RevokeAward}
    assert kinds == {type(command) for command, _, _ in GOLDENS}


def test_a_field_that_is_not_given_does_not_count() -> None:
    """A new optional field changes no fingerprint of the past."""
    said: Any = {"username_key": "ada", "achievement_id": 1}
    explicit = AwardAchievement(**said, achievement_key=None, awarded_at=None)
    assert keyed("a-1", AwardAchievement(**said)) == keyed("a-1", explicit)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_other_keys_lead_to_other_events(one: str, other: str) -> None:
    """The same command under two keys is two events with one fingerprint."""
    first, second = keyed(one, AWARD), keyed(other, AWARD)
    assert first.fingerprint == second.fingerprint
    assert (one == other) is (first.event_id == second.event_id)


@pytest.mark.parametrize(
    "other",
    [
        replace(AWARD, username_key="bob"),
        replace(AWARD, achievement_key="second run"),
        replace(AWARD, achievement_key=None, achievement_id=1),
        replace(AWARD, awarded_at=None),
        replace(AWARD, awarded_at=datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)),
        RevokeAward(award_id=1, username_key="ada"),
    ],
)
def test_another_command_is_noticed(other: Command) -> None:
    """A key that comes with another command has another fingerprint."""
    assert keyed("a-1", AWARD).fingerprint != keyed("a-1", other).fingerprint
    assert keyed("a-1", AWARD).event_id != keyed("a-1", other).event_id


def test_a_keyed_event_id_is_a_uuid() -> None:
    """It says of itself that it was made from a name."""
    found = keyed("a-1", AWARD).event_id
    assert (5, RFC_4122) == (found.version, found.variant)


def test_fresh_event_ids_are_uuids_of_version_7() -> None:
    """Version and variant are those of RFC 9562, and each tells the millisecond in which it was made."""
    before = time.time_ns() // 1_000_000
    found = fresh_event_ids(1_000)
    after = time.time_ns() // 1_000_000
    assert {(7, RFC_4122)} == {(event_id.version, event_id.variant) for event_id in found}
    assert all(before <= event_id.int >> 80 <= after for event_id in found)


def test_fresh_event_ids_only_grow() -> None:
    """Within a group and from one group to the next, however many are made in a millisecond."""
    found = [event_id for _ in range(20) for event_id in fresh_event_ids(1_000)]
    assert all(one < other for one, other in pairwise(found))
