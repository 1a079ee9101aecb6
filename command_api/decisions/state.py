"""What decisions are made on: the part of the past that matters to a group of commands.

Loaded once for a group; every decided event is recorded in it, so that each command sees those before it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementText,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user's profile as the log has it now."""

    user_id: int
    username: str
    username_key: str
    user_language: str
    user_timezone: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Text:
    """Name and description of an achievement in one language."""

    name: str
    name_key: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Achievement:
    """An achievement with its texts by language."""

    achievement_id: int
    language: str
    point: int
    repeatable: bool
    texts: Mapping[str, Text]
    created_at: datetime
    updated_at: datetime

    def language_for(self, wanted: str) -> str:
        """Return the language to show: the wanted one where there is a translation, else the achievement's own."""
        return wanted if wanted in self.texts else self.language


class Catalogue:
    """All achievements, found by id and by name.

    `position` is the log position of its last change, `once_only` whether any of them is held once only.
    """

    def __init__(self) -> None:
        self.position = 0
        self.once_only = False
        self._by_id: dict[int, Achievement] = {}
        self._holder: dict[tuple[str, str], int] = {}
        self._named: defaultdict[str, set[int]] = defaultdict(set)

    def get(self, achievement_id: int) -> Achievement | None:
        """Return the achievement with this id."""
        return self._by_id.get(achievement_id)

    def named(self, name_key: str) -> set[int]:
        """Return the ids of the achievements that have this name in any language."""
        return self._named.get(name_key, set())

    def holder(self, language: str, name_key: str) -> int | None:
        """Return the id of the achievement that has this name in this language."""
        return self._holder.get((language, name_key))

    def put(self, achievement: Achievement) -> None:
        """Add an achievement, or put it in the place of its earlier self."""
        earlier = self._by_id.get(achievement.achievement_id)
        for language, text in earlier.texts.items() if earlier else ():
            # Names may have passed on by now: only what is still this one's is given up.
            if self._holder.get((language, text.name_key)) == achievement.achievement_id:
                del self._holder[language, text.name_key]
            self._named[text.name_key].discard(achievement.achievement_id)
        self._by_id[achievement.achievement_id] = achievement
        self.once_only |= not achievement.repeatable
        for language, text in achievement.texts.items():
            self._holder[language, text.name_key] = achievement.achievement_id
            self._named[text.name_key].add(achievement.achievement_id)


@dataclass(slots=True, kw_only=True)
class State:
    """The past as a group of commands needs it, and the clock that they share.

    `now` is the time at which the group is recorded (UTC). `held` has (user_id, achievement_id) of once-only
    achievements; `awards` has the awards that a command may revoke and that stand.
    """

    now: datetime
    position: int
    last_user_id: int
    last_achievement_id: int
    catalogue: Catalogue
    users: dict[str, User] = field(default_factory=dict)
    held: set[tuple[int, int]] = field(default_factory=set)
    awards: dict[int, AchievementAwarded] = field(default_factory=dict)
    _users_by_id: dict[int, User] = field(default_factory=dict)

    def add_user(self, user: User) -> None:
        """Make a user known by name and by id."""
        self.users[user.username_key] = user
        self._users_by_id[user.user_id] = user

    def user_by_id(self, user_id: int) -> User:
        """Return a user who is known to be loaded."""
        return self._users_by_id[user_id]

    def achievement_by_id(self, achievement_id: int) -> Achievement:
        """Return an achievement that an event is about. Raises LookupError if the catalogue has none."""
        achievement = self.catalogue.get(achievement_id)
        if achievement is None:
            message = f"achievement {achievement_id} was decided on but is not in the catalogue"
            raise LookupError(message)
        return achievement

    def user_after(self, event: UserCreated | UserChanged) -> User:
        """Return the user as the event leaves it; nothing is recorded."""
        created_at = self.now if isinstance(event, UserCreated) else self.user_by_id(event.user_id).created_at
        return User(
            user_id=event.user_id,
            username=event.username,
            username_key=event.username_key,
            user_language=event.user_language,
            user_timezone=event.user_timezone,
            created_at=created_at,
            updated_at=self.now,
        )

    def achievement_after(self, event: AchievementDefined | AchievementTranslated) -> Achievement:
        """Return the achievement as the event leaves it; nothing is recorded."""
        return _defined(event, self.now) if isinstance(event, AchievementDefined) else self._translated(event)

    def record(self, event: Event) -> None:
        """Take in an event as the one at the next position: all of it or, if this raises, nothing."""
        # In each case, what may raise comes first.
        match event:
            case AchievementAwarded():
                if not self.achievement_by_id(event.achievement_id).repeatable:
                    self.held.add((event.user_id, event.achievement_id))
                self.awards[event.award_id] = event
            case AwardRevoked():
                self.awards.pop(event.award_id, None)
                self.held.discard((event.user_id, event.achievement_id))
            case UserCreated() | UserChanged():
                user = self.user_after(event)
                if before := self._users_by_id.get(user.user_id):
                    self.users.pop(before.username_key, None)
                self.add_user(user)
                self.last_user_id = max(self.last_user_id, user.user_id)
            case AchievementDefined() | AchievementTranslated():
                achievement = self.achievement_after(event)
                self.catalogue.put(achievement)
                self.catalogue.position = self.position + 1
                self.last_achievement_id = max(self.last_achievement_id, achievement.achievement_id)
        self.position += 1

    def _translated(self, event: AchievementTranslated) -> Achievement:
        before = self.achievement_by_id(event.achievement_id)
        texts = {**before.texts, event.achievement_language: _text(event)}
        return replace(before, texts=texts, updated_at=self.now)


def _text(event: AchievementText) -> Text:
    return Text(event.achievement_name, event.achievement_key, event.achievement_description)


def _defined(event: AchievementDefined, now: datetime) -> Achievement:
    return Achievement(
        achievement_id=event.achievement_id,
        language=event.achievement_language,
        point=event.achievement_point,
        repeatable=event.repeatable,
        texts={event.achievement_language: _text(event)},
        created_at=now,
        updated_at=now,
    )
