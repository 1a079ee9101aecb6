"""What decisions need to know: loaded for a whole group of commands in a few queries, and saved with its events."""

from collections.abc import Iterable, Sequence
from typing import Any

from command_api.decisions import Command
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.state import Achievement, Catalogue, State, Text, User
from shared.events import codec
from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)
from shared.runtime.database import Connection, Record

LOCK_HEAD = """
SELECT position, greatest(clock_timestamp(), recorded_at) AS now, partition_positions, catalogue_position,
       last_user_id, last_achievement_id
FROM log_head FOR UPDATE
"""

USERS_BY_KEY = """
SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at
FROM write_model.users WHERE username_key = ANY($1::text[])
"""

USERS_BY_ID = """
SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at
FROM write_model.users WHERE user_id = ANY($1::bigint[])
"""

HELD = "SELECT user_id, achievement_id FROM write_model.holdings WHERE user_id = ANY($1::bigint[])"

STANDING_AWARDS = """
SELECT e.schema_version, e.data::text AS data
FROM events e
WHERE e.position = ANY($1::bigint[]) AND e.type = 'achievement-awarded'
  AND NOT EXISTS (SELECT FROM write_model.revocations r WHERE r.award_id = e.position)
"""

CHANGED_ACHIEVEMENTS = """
SELECT a.achievement_id, a.achievement_language, a.achievement_point, a.repeatable, a.created_at, a.updated_at,
       array_agg(ARRAY[t.language, t.name, t.name_key, t.description]) AS texts
FROM write_model.achievements a
JOIN write_model.achievement_texts t USING (achievement_id)
WHERE a.changed_position > $1
GROUP BY a.achievement_id
"""


async def lock_head(connection: Connection) -> Record:
    """Take the log's one lock until the transaction ends; return the head and the time to record at."""
    head = await connection.fetchrow(LOCK_HEAD)
    if head is None:
        message = "the log has no head: the migrations did not finish"
        raise LookupError(message)
    return head


async def load(connection: Connection, head: Record, catalogue: Catalogue, commands: Sequence[Command]) -> State:
    """Return the state that these commands are decided on; the catalogue is brought up to date in place."""
    if catalogue.position != head["catalogue_position"]:
        await _refresh(connection, catalogue, head["catalogue_position"])
    state = State(
        now=head["now"],
        position=head["position"],
        last_user_id=head["last_user_id"],
        last_achievement_id=head["last_achievement_id"],
        catalogue=catalogue,
    )
    if keys := {key for command in commands for key in command.username_keys}:
        for row in await connection.fetch(USERS_BY_KEY, list(keys)):
            state.add_user(User(**row))
    await _load_held(connection, state, commands)
    await load_awards(connection, state, commands)
    return state


async def load_users(connection: Connection, state: State, user_ids: Iterable[int]) -> None:
    """Make these users known to the state."""
    for row in await connection.fetch(USERS_BY_ID, list(user_ids)):
        state.add_user(User(**row))


async def load_awards(connection: Connection, state: State, commands: Iterable[Command]) -> None:
    """Make the awards known that these commands would revoke."""
    wanted = [command.award_id for command in commands if isinstance(command, RevokeAward)]
    if not wanted:
        return
    for row in await connection.fetch(STANDING_AWARDS, wanted):
        event = codec.decode(AchievementAwarded.type, row["schema_version"], row["data"])
        if isinstance(event, AchievementAwarded):
            state.awards[event.award_id] = event


async def _refresh(connection: Connection, catalogue: Catalogue, position: int) -> None:
    for row in await connection.fetch(CHANGED_ACHIEVEMENTS, catalogue.position):
        catalogue.put(
            Achievement(
                achievement_id=row["achievement_id"],
                language=row["achievement_language"],
                point=row["achievement_point"],
                repeatable=row["repeatable"],
                texts={language: Text(*text) for language, *text in row["texts"]},
                created_at=row["created_at"],
                updated_at=row["updated_at"],
            )
        )
    catalogue.position = position


async def _load_held(connection: Connection, state: State, commands: Sequence[Command]) -> None:
    # Whom and what a name means may change within the group, so what its users hold is loaded whole; what the group
    # itself defines is held by nobody yet.
    if state.catalogue.once_only and state.users and any(isinstance(command, AwardAchievement) for command in commands):
        user_ids = [user.user_id for user in state.users.values()]
        state.held.update(tuple(row) for row in await connection.fetch(HELD, user_ids))


SAVE_USERS = """
INSERT INTO write_model.users AS u (user_id, username, username_key, user_language, user_timezone,
                                    created_at, updated_at)
SELECT * , $6::timestamptz, $6::timestamptz
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (user_id) DO UPDATE SET
    username = excluded.username, username_key = excluded.username_key, user_language = excluded.user_language,
    user_timezone = excluded.user_timezone, updated_at = excluded.updated_at
"""

# Names may pass from one user to another within a group: they are set free first, so that no order of rows matters.
FREE_NAMES = "UPDATE write_model.users SET username_key = E'\\x01' || user_id WHERE user_id = ANY($1::bigint[])"

SAVE_ACHIEVEMENTS = """
INSERT INTO write_model.achievements
    (achievement_id, achievement_language, achievement_point, repeatable, created_at, updated_at, changed_position)
SELECT *, $5::timestamptz, $5::timestamptz, $6::bigint
FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::boolean[])
"""

TOUCH_ACHIEVEMENTS = """
UPDATE write_model.achievements SET updated_at = $2, changed_position = $3 WHERE achievement_id = ANY($1::bigint[])
"""

FREE_TEXTS = """
UPDATE write_model.achievement_texts SET name_key = E'\\x01' || achievement_id
WHERE achievement_id = ANY($1::bigint[])
  AND (achievement_id, language) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
"""

SAVE_TEXTS = """
INSERT INTO write_model.achievement_texts (achievement_id, language, name, name_key, description)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (achievement_id, language) DO UPDATE SET
    name = excluded.name, name_key = excluded.name_key, description = excluded.description
"""

SAVE_HOLDINGS = """
INSERT INTO write_model.holdings (user_id, achievement_id) SELECT * FROM unnest($1::bigint[], $2::bigint[])
ON CONFLICT DO NOTHING
"""

DELETE_HOLDINGS = """
DELETE FROM write_model.holdings h USING unnest($1::bigint[], $2::bigint[]) AS gone (user_id, achievement_id)
WHERE (h.user_id, h.achievement_id) = (gone.user_id, gone.achievement_id)
"""

REVOKE = "INSERT INTO write_model.revocations (award_id) SELECT unnest($1::bigint[])"


async def save(connection: Connection, state: State, events: Sequence[Event]) -> None:
    """Write what the events changed, as the state has it after all of them. Awards that repeat change nothing."""
    await _save_users(connection, state, [event for event in events if isinstance(event, UserCreated | UserChanged)])
    await _save_catalogue(connection, state, events)
    await _save_holdings(connection, state, events)
    revoked = [event.award_id for event in events if isinstance(event, AwardRevoked)]
    if revoked:
        await connection.execute(REVOKE, revoked)


async def _save_users(connection: Connection, state: State, events: Sequence[UserCreated | UserChanged]) -> None:
    if not events:
        return
    changed = [event.user_id for event in events if isinstance(event, UserChanged)]
    if changed:
        await connection.execute(FREE_NAMES, changed)
    users = [state.user_by_id(user_id) for user_id in {event.user_id for event in events}]
    columns = _columns(
        [(u.user_id, u.username, u.username_key, u.user_language, u.user_timezone) for u in users],
    )
    await connection.execute(SAVE_USERS, *columns, state.now)


async def _save_catalogue(connection: Connection, state: State, events: Sequence[Event]) -> None:
    defined = [event for event in events if isinstance(event, AchievementDefined)]
    translated = [event for event in events if isinstance(event, AchievementTranslated)]
    if defined:
        columns = _columns(
            [(e.achievement_id, e.achievement_language, e.achievement_point, e.repeatable) for e in defined],
        )
        await connection.execute(SAVE_ACHIEVEMENTS, *columns, state.now, state.catalogue.position)
    if translated:
        await connection.execute(
            TOUCH_ACHIEVEMENTS, [e.achievement_id for e in translated], state.now, state.catalogue.position
        )
        pairs = _columns([(e.achievement_id, e.achievement_language) for e in translated])
        await connection.execute(FREE_TEXTS, *pairs)
    texts: list[AchievementDefined | AchievementTranslated] = [*defined, *translated]
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
        await connection.execute(SAVE_TEXTS, *columns)


async def _save_holdings(connection: Connection, state: State, events: Sequence[Event]) -> None:
    touched = {
        (event.user_id, event.achievement_id)
        for event in events
        if isinstance(event, AchievementAwarded | AwardRevoked) and _held_once(event.achievement_id, state)
    }
    if held := sorted(touched & state.held):
        await connection.execute(SAVE_HOLDINGS, *_columns(held))
    if gone := sorted(touched - state.held):
        await connection.execute(DELETE_HOLDINGS, *_columns(gone))


def _held_once(achievement_id: int, state: State) -> bool:
    achievement = state.catalogue.get(achievement_id)
    return achievement is not None and not achievement.repeatable


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
