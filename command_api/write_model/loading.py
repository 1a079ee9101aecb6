"""Loads what the commands of a group are decided on, in a few queries."""

from collections.abc import Iterable, Sequence

from command_api.decisions import Command
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.state import Achievement, Catalogue, State, Text, User
from shared.event_store.appending import Head
from shared.event_store.reading import events_at
from shared.events import codec
from shared.events.types import AchievementAwarded
from shared.runtime.database import Connection
from shared.runtime.sql import sql

HELD = "SELECT user_id, achievement_id FROM write_model.holdings WHERE user_id = ANY($1::bigint[])"
REVOKED = "SELECT award_id FROM write_model.revocations WHERE award_id = ANY($1::bigint[])"


async def load(connection: Connection, head: Head, catalogue: Catalogue, commands: Sequence[Command]) -> State:
    """Return the state that these commands are decided on; the catalogue is brought up to date in place."""
    if catalogue.position != head.catalogue_position:
        await _refresh(connection, catalogue, head.catalogue_position)
    state = State(
        now=head.recorded_at,
        position=head.position,
        last_user_id=head.last_user_id,
        last_achievement_id=head.last_achievement_id,
        catalogue=catalogue,
    )
    if keys := {key for command in commands for key in command.username_keys}:
        for row in await connection.fetch(sql(__package__, "users_by_key"), list(keys)):
            state.add_user(User(**row))
    await _load_held(connection, state, commands)
    await load_awards(connection, state, commands)
    return state


async def load_users(connection: Connection, state: State, user_ids: Iterable[int]) -> None:
    """Make these users known to the state."""
    for row in await connection.fetch(sql(__package__, "users_by_id"), list(user_ids)):
        state.add_user(User(**row))


async def load_awards(connection: Connection, state: State, commands: Iterable[Command]) -> None:
    """Make the awards known that these commands would revoke."""
    wanted = [command.award_id for command in commands if isinstance(command, RevokeAward)]
    if not wanted:
        return
    revoked = {row["award_id"] for row in await connection.fetch(REVOKED, wanted)}
    for recorded in await events_at(connection, [award_id for award_id in wanted if award_id not in revoked]):
        if recorded.type == AchievementAwarded.type:
            event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
            if isinstance(event, AchievementAwarded):
                state.awards[event.award_id] = event


async def _refresh(connection: Connection, catalogue: Catalogue, position: int) -> None:
    for row in await connection.fetch(sql(__package__, "changed_achievements"), catalogue.position):
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
