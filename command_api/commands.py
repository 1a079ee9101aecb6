"""The closed union of commands: what producers ask for, after their input was found well-formed."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.domain.names import Name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Register a user."""

    type: ClassVar[str] = "create-user"
    username: Name
    user_language: str
    user_timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeUser:
    """Change a user's name, language or time zone; None leaves a field as it is."""

    type: ClassVar[str] = "change-user"
    username_key: str
    new_username: Name | None = None
    user_language: str | None = None
    user_timezone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineAchievement:
    """Add an achievement to the catalogue."""

    type: ClassVar[str] = "define-achievement"
    achievement_name: Name
    achievement_description: str
    achievement_language: str
    achievement_point: int
    repeatable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateAchievement:
    """Give an achievement its text in a language."""

    type: ClassVar[str] = "translate-achievement"
    achievement_id: int
    achievement_language: str
    achievement_name: Name
    achievement_description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardAchievement:
    """Award an achievement, named by its id or by its name's key. `awarded_at` None means now."""

    type: ClassVar[str] = "award-achievement"
    username_key: str
    achievement_id: int | None = None
    achievement_key: str | None = None
    awarded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAward:
    """Take an award back; with `username_key`, only if it is that user's."""

    type: ClassVar[str] = "revoke-award"
    award_id: int
    username_key: str | None = None
    reason: str | None = None


Command = CreateUser | ChangeUser | DefineAchievement | TranslateAchievement | AwardAchievement | RevokeAward
