"""PURE: what a command is answered with."""

from dataclasses import dataclass
from typing import Any

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
from shared.representations import to_json
from shared.runtime.problems import Problem


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


def is_new_text(event: Event, state: State) -> bool:
    """Tell, before the event is recorded, whether it brings a text in a language that had none."""
    if not isinstance(event, AchievementTranslated):
        return True
    achievement = state.catalogue.get(event.achievement_id)
    return achievement is None or event.achievement_language not in achievement.texts


def success(event: Event, state: State, *, created: bool = True) -> Answer:
    """Return the answer to a command whose event is the last one recorded in the state."""
    match event:
        case UserCreated() | UserChanged():
            body = user_body(state.user_by_id(event.user_id))
            status = 201 if isinstance(event, UserCreated) else 200
        case AchievementDefined():
            body, status = achievement_body(_achievement(event.achievement_id, state)), 201
        case AchievementTranslated():
            achievement = _achievement(event.achievement_id, state)
            body, status = translated_body(achievement), 201 if created else 200
        case AchievementAwarded():
            body, status = award_body(event, state), 201
        case AwardRevoked():
            return Answer(status=204, body=b"", position=state.position)
    return Answer(status=status, body=to_json(body), position=state.position)


def user_body(user: User) -> dict[str, Any]:
    """Return the shape of `representations.User`."""
    return {
        "user_id": user.user_id,
        "username": user.username,
        "user_language": user.user_language,
        "user_timezone": user.user_timezone,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


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
    achievement = _achievement(event.achievement_id, state)
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


def _achievement(achievement_id: int, state: State) -> Achievement:
    achievement = state.catalogue.get(achievement_id)
    assert achievement is not None, "a decided event is about a known achievement"  # noqa: S101 - an invariant
    return achievement
