"""The closed union of events. An event is a fact: it is never changed, only followed by another one.

Fields carry everything that projections need, so that no projection looks anything up. Timestamps are UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreated:
    """A user was registered."""

    type: ClassVar[str] = "user-created"
    user_id: int
    username: str
    username_key: str
    user_language: str
    user_timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChanged:
    """A user's profile changed; the fields are the whole profile as it is from now on."""

    type: ClassVar[str] = "user-changed"
    user_id: int
    username: str
    username_key: str
    user_language: str
    user_timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementDefined:
    """The catalogue got a new achievement, with its text in its own language."""

    type: ClassVar[str] = "achievement-defined"
    achievement_id: int
    achievement_name: str
    achievement_key: str
    achievement_description: str
    achievement_language: str
    achievement_point: int
    repeatable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementTranslated:
    """An achievement got its text in a language, or another text in a language that it had."""

    type: ClassVar[str] = "achievement-translated"
    achievement_id: int
    achievement_name: str
    achievement_key: str
    achievement_description: str
    achievement_language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementAwarded:
    """A user earned an achievement.

    `award_id` is the position of this very event. `points` are those in force when it was recorded, `local_day` is
    the calendar day of `awarded_at` in the time zone that the user had then.
    """

    type: ClassVar[str] = "achievement-awarded"
    award_id: int
    user_id: int
    achievement_id: int
    points: int
    awarded_at: datetime
    local_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardRevoked:
    """An award no longer counts; it repeats what the award said, so that it can be taken out without a look-up."""

    type: ClassVar[str] = "award-revoked"
    award_id: int
    user_id: int
    achievement_id: int
    points: int
    awarded_at: datetime
    local_day: date
    reason: str | None


EVENT_TYPES = {
    cls.type: cls
    for cls in (
        UserCreated,
        UserChanged,
        AchievementDefined,
        AchievementTranslated,
        AchievementAwarded,
        AwardRevoked,
    )
}

Event = UserCreated | UserChanged | AchievementDefined | AchievementTranslated | AchievementAwarded | AwardRevoked
UserEvent = UserCreated | UserChanged | AchievementAwarded | AwardRevoked
