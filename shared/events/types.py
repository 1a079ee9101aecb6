"""The closed union of events. An event is a fact: it is never changed, only followed by another one.

A type of event is one class, and all that is true of the type follows from it: its name, its schema versions, its JSON
and whose it is. Fields carry everything that projections need, so that no projection looks anything up. Timestamps are
UTC.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, get_args

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class EventType:
    """Base of every type of event; the log and Kafka call the type by `type`.

    The first of `upcasters` turns data of schema version 1 into those of version 2, and so on: the newest version is
    the one after the last upcaster.
    """

    __slots__ = ()
    type: ClassVar[str]
    upcasters: ClassVar[tuple[Upcaster, ...]] = ()


class UserEvent(EventType):
    """An event about a user. All events of one user are in one partition, in their order."""

    __slots__ = ()
    user_id: int

    @property
    def subject(self) -> int:
        """The id of the user that the event is about."""
        return self.user_id


class CatalogueEvent(EventType):
    """An event about the catalogue, which has a partition."""

    __slots__ = ()

    @property
    def subject(self) -> None:
        """No user is the subject of the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(UserEvent):
    """A user's whole profile as it is from now on."""

    user_id: int
    username: str
    username_key: str
    user_language: str
    user_timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreated(Profile):
    """A user was registered."""

    type: ClassVar[str] = "user-created"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChanged(Profile):
    """A user's profile changed."""

    type: ClassVar[str] = "user-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementText(CatalogueEvent):
    """Name and description of an achievement in one language."""

    achievement_id: int
    achievement_name: str
    achievement_key: str
    achievement_description: str
    achievement_language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementDefined(AchievementText):
    """The catalogue got a new achievement, with its text in its own language."""

    type: ClassVar[str] = "achievement-defined"
    achievement_point: int
    repeatable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementTranslated(AchievementText):
    """An achievement got its text in a language, or another text in a language that it had."""

    type: ClassVar[str] = "achievement-translated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Award(UserEvent):
    """What an award says.

    `award_id` is the position of the event that awarded it. `points` are those in force when it was recorded,
    `local_day` is the calendar day of `awarded_at` in the time zone that the user had then.
    """

    award_id: int
    user_id: int
    achievement_id: int
    points: int
    awarded_at: datetime
    local_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementAwarded(Award):
    """A user earned an achievement."""

    type: ClassVar[str] = "achievement-awarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardRevoked(Award):
    """An award no longer counts; it repeats what the award said, so that it can be taken out without a look-up."""

    type: ClassVar[str] = "award-revoked"
    reason: str | None


Event = UserCreated | UserChanged | AchievementDefined | AchievementTranslated | AchievementAwarded | AwardRevoked

EVENT_TYPES: dict[str, type[Event]] = {cls.type: cls for cls in get_args(Event)}
