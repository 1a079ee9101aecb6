"""Commands about awards, and their decisions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from command_api.decisions import achievements, users
from command_api.decisions.state import Achievement, State
from shared.domain.days import local_day, zone
from shared.domain.errors import AlreadyAwarded, InvalidInput, UnknownAward
from shared.events.types import AchievementAwarded, AwardRevoked

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of the log's clock a producer's clock may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardAchievement:
    """Award an achievement, named by its id or by its name's key. `awarded_at` None means now."""

    type: ClassVar[str] = "award-achievement"
    username_key: str
    achievement_id: int | None = None
    achievement_key: str | None = None
    awarded_at: datetime | None = None

    @property
    def username_keys(self) -> tuple[str, ...]:
        """The user's."""
        return (self.username_key,)

    def decide(self, state: State) -> AchievementAwarded:
        """Award an achievement at the points in force, on the calendar day of the user's time zone."""
        awarded_at = self.awarded_at or state.now
        if awarded_at > state.now + CLOCK_SKEW:
            raise InvalidInput("/awarded_at", "The time lies more than 5 minutes ahead.")
        user = users.find(self.username_key, state)
        achievement = self._achievement(state)
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

    def _achievement(self, state: State) -> Achievement:
        if self.achievement_id is not None:
            return achievements.find(self.achievement_id, state)
        return achievements.find_named(self.achievement_key or "", state)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAward:
    """Take an award back; with `username_key`, only if it is that user's."""

    type: ClassVar[str] = "revoke-award"
    award_id: int
    username_key: str | None = None
    reason: str | None = None

    @property
    def username_keys(self) -> tuple[str, ...]:
        """The user's, if one is named."""
        return () if self.username_key is None else (self.username_key,)

    def decide(self, state: State) -> AwardRevoked:
        """Take back an award that stands."""
        user = users.find(self.username_key, state) if self.username_key is not None else None
        awarded = state.awards.get(self.award_id)
        if awarded is None or (user and user.user_id != awarded.user_id):
            raise UnknownAward("No award that stands has this id.")
        return AwardRevoked(
            award_id=awarded.award_id,
            user_id=awarded.user_id,
            achievement_id=awarded.achievement_id,
            points=awarded.points,
            awarded_at=awarded.awarded_at,
            local_day=awarded.local_day,
            reason=self.reason,
        )
