"""Decisions about awards."""

from datetime import timedelta

from command_api.commands import AwardAchievement, RevokeAward
from command_api.decisions import achievements, users
from command_api.decisions.state import Achievement, State
from shared.domain.days import local_day, zone
from shared.domain.errors import AlreadyAwarded, InvalidInput, UnknownAward
from shared.events.types import AchievementAwarded, AwardRevoked

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of the log's clock a producer's clock may be."""


def award(command: AwardAchievement, state: State) -> AchievementAwarded:
    """Award an achievement at the points in force, on the calendar day of the user's time zone."""
    awarded_at = command.awarded_at or state.now
    if awarded_at > state.now + CLOCK_SKEW:
        raise InvalidInput("/awarded_at", "The time lies more than 5 minutes ahead.")
    user = users.find(command.username_key, state)
    achievement = _achievement(command, state)
    if not achievement.repeatable and (user.user_id, achievement.achievement_id) in state.held:
        raise AlreadyAwarded("The user holds this achievement, which is awarded once only.")
    return AchievementAwarded(
        award_id=state.position + 1,
        user_id=user.user_id,
        achievement_id=achievement.achievement_id,
        points=achievement.point,
        awarded_at=awarded_at,
        local_day=local_day(awarded_at, zone(user.user_timezone)),
    )


def revoke(command: RevokeAward, state: State) -> AwardRevoked:
    """Take back an award that stands."""
    user = users.find(command.username_key, state) if command.username_key is not None else None
    awarded = state.awards.get(command.award_id)
    if awarded is None or (user and user.user_id != awarded.user_id):
        raise UnknownAward("No award that stands has this id.")
    return AwardRevoked(
        award_id=awarded.award_id,
        user_id=awarded.user_id,
        achievement_id=awarded.achievement_id,
        points=awarded.points,
        awarded_at=awarded.awarded_at,
        local_day=awarded.local_day,
        reason=command.reason,
    )


def _achievement(command: AwardAchievement, state: State) -> Achievement:
    if command.achievement_id is not None:
        return achievements.find(command.achievement_id, state)
    return achievements.find_named(command.achievement_key or "", state)
