"""Decisions about the catalogue."""

from command_api.commands import DefineAchievement, TranslateAchievement
from command_api.decisions.state import Achievement, State
from shared.domain.errors import AchievementNameTaken, AmbiguousAchievementName, UnknownAchievement
from shared.events.types import AchievementDefined, AchievementTranslated


def define(command: DefineAchievement, state: State) -> AchievementDefined:
    """Add an achievement under a name that is free in its language."""
    if state.catalogue.holder(command.achievement_language, command.achievement_name.key) is not None:
        raise AchievementNameTaken("Another achievement has this name in this language.")
    return AchievementDefined(
        achievement_id=state.last_achievement_id + 1,
        achievement_name=command.achievement_name.display,
        achievement_key=command.achievement_name.key,
        achievement_description=command.achievement_description,
        achievement_language=command.achievement_language,
        achievement_point=command.achievement_point,
        repeatable=command.repeatable,
    )


def translate(command: TranslateAchievement, state: State) -> AchievementTranslated:
    """Give an achievement its text in a language, its own included."""
    achievement = find(command.achievement_id, state)
    holder = state.catalogue.holder(command.achievement_language, command.achievement_name.key)
    if holder not in {None, achievement.achievement_id}:
        raise AchievementNameTaken("Another achievement has this name in this language.")
    return AchievementTranslated(
        achievement_id=achievement.achievement_id,
        achievement_name=command.achievement_name.display,
        achievement_key=command.achievement_name.key,
        achievement_description=command.achievement_description,
        achievement_language=command.achievement_language,
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
