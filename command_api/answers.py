"""The edge's word in a group commit: HTTP status and JSON of what was decided, made while the state is at hand.

They are made before the commit, since an Idempotency-Key remembers them in the same transaction.
"""

from dataclasses import dataclass
from typing import Any, Final

from command_api.decisions.state import Achievement, State, User
from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)
from shared.http import representations
from shared.http.problems import Problem
from shared.http.representations import to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP status, a JSON body (a problem from 400 on), and the position of the event if there is one."""

    status: int
    body: bytes
    position: int | None = None
    replayed: bool = False


def refusal(problem: Problem) -> Answer:
    """Return the answer to a command that was refused."""
    return Answer(status=problem.status, body=problem.json())


def success(event: Event, state: State) -> Answer:
    """Return the answer to a command whose event is about to be recorded in the state."""
    status, body = _reply(event, state, is_recorded=False)
    return Answer(status=status, body=body, position=state.position + 1)


def repeated(event: Event, state: State, position: int) -> Answer:
    """Return the answer to a command whose event was recorded at this position before: in the texts of today."""
    status, body = _reply(event, state, is_recorded=True)
    return Answer(status=status, body=body, position=position, replayed=True)


def _reply(event: Event, state: State, *, is_recorded: bool) -> tuple[int, bytes]:
    match event:
        case AchievementAwarded():
            return 201, to_json(award_body(event, state))
        case AwardRevoked():
            return 204, b""
        case UserCreated() | UserChanged():
            user = state.user_by_id(event.user_id) if is_recorded else state.user_after(event)
            return 201 if isinstance(event, UserCreated) else 200, to_json(user_body(user))
        case AchievementDefined():
            achievement = (
                state.achievement_by_id(event.achievement_id) if is_recorded else state.achievement_after(event)
            )
            return 201, to_json(achievement_body(achievement))
        case AchievementTranslated():
            now = state.achievement_by_id(event.achievement_id)
            if is_recorded:
                return 201, to_json(translated_body(now))
            status = 200 if event.achievement_language in now.texts else 201
            return status, to_json(translated_body(state.achievement_after(event)))


_USER_FIELDS: Final = tuple(representations.User.model_fields)


def user_body(user: User) -> dict[str, Any]:
    """Return the shape of `representations.User`."""
    return {name: getattr(user, name) for name in _USER_FIELDS}


def achievement_body(achievement: Achievement) -> dict[str, Any]:
    """Return the shape of `representations.Achievement`, in the achievement's own language."""
    text = achievement.texts[achievement.language]
    return {
        "achievement_id": achievement.achievement_id,
        "achievement_name": text.name,
        "achievement_description": text.description,
        "achievement_language": achievement.language,
        "achievement_point": achievement.point,
        "repeatable": achievement.repeatable,
        "created_at": achievement.created_at,
        "updated_at": achievement.updated_at,
    }


def translated_body(achievement: Achievement) -> dict[str, Any]:
    """Return the shape of `representations.TranslatedAchievement`."""
    translations = [
        {
            "achievement_name": text.name,
            "achievement_description": text.description,
            "achievement_language": language,
        }
        for language, text in sorted(achievement.texts.items())
    ]
    return {**achievement_body(achievement), "translations": translations}


def award_body(event: AchievementAwarded, state: State) -> dict[str, Any]:
    """Return the shape of `representations.Award`."""
    user = state.user_by_id(event.user_id)
    achievement = state.achievement_by_id(event.achievement_id)
    language = achievement.language_for(user.user_language)
    text = achievement.texts[language]
    return {
        "award_id": event.award_id,
        "user_id": user.user_id,
        "username": user.username,
        "user_language": user.user_language,
        "achievement_id": achievement.achievement_id,
        "achievement_name": text.name,
        "achievement_description": text.description,
        "achievement_language": language,
        "achievement_point": event.points,
        "awarded_at": event.awarded_at,
        "recorded_at": state.now,
    }
