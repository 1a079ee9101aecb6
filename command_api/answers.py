"""PURE: what a command is answered with."""

from dataclasses import dataclass
from typing import Any, assert_never

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
    status = 201
    match event:
        case AchievementAwarded():
            body = award_body(event, state)
        case AwardRevoked():
            return Answer(status=204, body=b"", position=state.position + 1)
        case UserCreated() | UserChanged():
            body = user_body(state.user_after(event))
            status = 201 if isinstance(event, UserCreated) else 200
        case AchievementDefined():
            body = achievement_body(state.achievement_after(event))
        case AchievementTranslated():
            body = translated_body(state.achievement_after(event))
            status = 200 if event.achievement_language in _achievement(event.achievement_id, state).texts else 201
        case _:
            assert_never(event)
    return Answer(status=status, body=to_json(body), position=state.position + 1)


def repeated(event: Event, state: State, position: int) -> Answer:
    """Return the answer to a command whose event was recorded at this position before: in the texts of today."""
    status = 201
    match event:
        case AchievementAwarded():
            body = award_body(event, state)
        case AwardRevoked():
            return Answer(status=204, body=b"", position=position, replayed=True)
        case UserCreated() | UserChanged():
            body = user_body(state.user_by_id(event.user_id))
            status = 201 if isinstance(event, UserCreated) else 200
        case AchievementDefined():
            body = achievement_body(_achievement(event.achievement_id, state))
        case AchievementTranslated():
            body = translated_body(_achievement(event.achievement_id, state))
        case _:
            assert_never(event)
    return Answer(status=status, body=to_json(body), position=position, replayed=True)


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
    assert achievement is not None, "a decided event is about a known achievement"
    return achievement
