"""Commands about the catalogue, and their decisions."""

from dataclasses import dataclass
from typing import ClassVar

from command_api.decisions.state import Achievement, State
from shared.domain.errors import AchievementNameTaken, AmbiguousAchievementName, UnknownAchievement
from shared.domain.names import Name
from shared.events.types import AchievementDefined, AchievementTranslated


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineAchievement:
    """Add an achievement to the catalogue."""

    type: ClassVar[str] = "define-achievement"
    username_keys: ClassVar[tuple[str, ...]] = ()
    achievement_name: Name
    achievement_description: str
    achievement_language: str
    achievement_point: int
    repeatable: bool

    def decide(self, state: State) -> AchievementDefined:
        """Add an achievement under a name that is free in its language."""
        if state.catalogue.holder(self.achievement_language, self.achievement_name.key) is not None:
            raise AchievementNameTaken("Another achievement has this name in this language.")
        return AchievementDefined(
            achievement_id=state.last_achievement_id + 1,
            achievement_name=self.achievement_name.display,
            achievement_key=self.achievement_name.key,
            achievement_description=self.achievement_description,
            achievement_language=self.achievement_language,
            achievement_point=self.achievement_point,
            repeatable=self.repeatable,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateAchievement:
    """Give an achievement its text in a language."""

    type: ClassVar[str] = "translate-achievement"
    username_keys: ClassVar[tuple[str, ...]] = ()
    achievement_id: int
    achievement_language: str
    achievement_name: Name
    achievement_description: str

    def decide(self, state: State) -> AchievementTranslated:
        """Give an achievement its text in a language, its own included."""
        achievement = find(self.achievement_id, state)
        holder = state.catalogue.holder(self.achievement_language, self.achievement_name.key)
        if holder not in {None, achievement.achievement_id}:
            raise AchievementNameTaken("Another achievement has this name in this language.")
        return AchievementTranslated(
            achievement_id=achievement.achievement_id,
            achievement_name=self.achievement_name.display,
            achievement_key=self.achievement_name.key,
            achievement_description=self.achievement_description,
            achievement_language=self.achievement_language,
        )


def find(achievement_id: int, state: State) -> Achievement:
    """Return the achievement with this id. Raises UnknownAchievement."""
    achievement = state.catalogue.get(achievement_id)
    if achievement is None:
        raise UnknownAchievement("No achievement has this id.")
    return achievement


def find_named(name_key: str, state: State) -> Achievement:
    """Return the one achievement that has this name in any language.

    Raises UnknownAchievement, or AmbiguousAchievementName where several have it.
    """
    ids = state.catalogue.named(name_key)
    if not ids:
        raise UnknownAchievement("No achievement has this name.")
    if len(ids) > 1:
        raise AmbiguousAchievementName("Several achievements have this name in different languages: use the id.")
    return find(next(iter(ids)), state)
