"""Saves what the events of a group changed."""

from collections.abc import Sequence
from typing import Any

from command_api.decisions.state import State
from shared.event_store.appending import Head
from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)
from shared.runtime.database import Connection
from shared.runtime.sql import sql

# Names may pass from one user to another within a group: they are set free first, so that no order of rows matters.
FREE_NAMES = "UPDATE write_model.users SET username_key = E'\\x01' || user_id WHERE user_id = ANY($1::bigint[])"
REVOKE = "INSERT INTO write_model.revocations (award_id) SELECT unnest($1::bigint[])"


def head_of(state: State, partition_positions: list[int]) -> Head:
    """Return the head of the log after the events of a state."""
    return Head(
        position=state.position,
        recorded_at=state.now,
        partition_positions=partition_positions,
        catalogue_position=state.catalogue.position,
        last_user_id=state.last_user_id,
        last_achievement_id=state.last_achievement_id,
    )


async def save(connection: Connection, state: State, events: Sequence[Event]) -> None:
    """Write what the events changed, as the state has it after all of them. Awards that repeat change nothing."""
    users: list[UserCreated | UserChanged] = []
    texts: list[AchievementDefined | AchievementTranslated] = []
    awards: list[AchievementAwarded | AwardRevoked] = []
    for event in events:
        match event:
            case AchievementAwarded() | AwardRevoked():
                awards.append(event)
            case UserCreated() | UserChanged():
                users.append(event)
            case AchievementDefined() | AchievementTranslated():
                texts.append(event)
    await _save_users(connection, state, users)
    await _save_catalogue(connection, state, texts)
    await _save_holdings(connection, state, awards)
    if revoked := [event.award_id for event in awards if isinstance(event, AwardRevoked)]:
        await connection.execute(REVOKE, revoked)


async def _save_users(connection: Connection, state: State, events: Sequence[UserCreated | UserChanged]) -> None:
    if not events:
        return
    changed = [event.user_id for event in events if isinstance(event, UserChanged)]
    if changed:
        await connection.execute(FREE_NAMES, changed)
    users = [state.user_by_id(user_id) for user_id in {event.user_id for event in events}]
    columns = _columns([(u.user_id, u.username, u.username_key, u.user_language, u.user_timezone) for u in users])
    await connection.execute(sql(__package__, "save_users"), *columns, state.now)


async def _save_catalogue(
    connection: Connection, state: State, texts: Sequence[AchievementDefined | AchievementTranslated]
) -> None:
    defined = [event for event in texts if isinstance(event, AchievementDefined)]
    translated = [event for event in texts if isinstance(event, AchievementTranslated)]
    if defined:
        terms = [(e.achievement_id, e.achievement_language, e.achievement_point, e.repeatable) for e in defined]
        columns = _columns(terms)
        await connection.execute(sql(__package__, "save_achievements"), *columns, state.now, state.catalogue.position)
    if translated:
        touched = [e.achievement_id for e in translated]
        await connection.execute(sql(__package__, "touch_achievements"), touched, state.now, state.catalogue.position)
        pairs = _columns([(e.achievement_id, e.achievement_language) for e in translated])
        await connection.execute(sql(__package__, "free_texts"), *pairs)
    latest = {(e.achievement_id, e.achievement_language): e for e in texts}
    if latest:
        columns = _columns(
            [
                (
                    e.achievement_id,
                    e.achievement_language,
                    e.achievement_name,
                    e.achievement_key,
                    e.achievement_description,
                )
                for e in latest.values()
            ]
        )
        await connection.execute(sql(__package__, "save_texts"), *columns)


async def _save_holdings(
    connection: Connection, state: State, awards: Sequence[AchievementAwarded | AwardRevoked]
) -> None:
    touched = {(e.user_id, e.achievement_id) for e in awards if _held_once(e.achievement_id, state)}
    if held := sorted(touched & state.held):
        await connection.execute(sql(__package__, "save_holdings"), *_columns(held))
    if gone := sorted(touched - state.held):
        await connection.execute(sql(__package__, "delete_holdings"), *_columns(gone))


def _held_once(achievement_id: int, state: State) -> bool:
    achievement = state.catalogue.get(achievement_id)
    return achievement is not None and not achievement.repeatable


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
