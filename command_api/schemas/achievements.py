"""Commands about the catalogue as JSON."""

from typing import ClassVar, Literal

from command_api.decisions import Command
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.schemas.fields import AchievementDescription, AchievementName, BulkCommand, Id, Input, Language, Point
from shared.events.types import AchievementDefined, AchievementTranslated


class NewAchievement(Input):
    """An achievement for the catalogue."""

    achievement_name: AchievementName
    achievement_description: AchievementDescription
    achievement_language: Language
    achievement_point: Point = 10
    repeatable: bool = True

    def command(self) -> Command:
        """Return the command."""
        return DefineAchievement(
            achievement_name=self.achievement_name,
            achievement_description=self.achievement_description,
            achievement_language=self.achievement_language,
            achievement_point=self.achievement_point,
            repeatable=self.repeatable,
        )


class NewTranslation(Input):
    """An achievement's text in one language."""

    achievement_name: AchievementName
    achievement_description: AchievementDescription

    def command_for(self, achievement_id: int, language: str) -> Command:
        """Return the command about this achievement's text in this language."""
        return TranslateAchievement(
            achievement_id=achievement_id,
            achievement_language=language,
            achievement_name=self.achievement_name,
            achievement_description=self.achievement_description,
        )


class DefineAchievementCommand(NewAchievement, BulkCommand):
    """`POST /users/achievements`."""

    leads_to: ClassVar = AchievementDefined
    type: Literal["define-achievement"]


class TranslateAchievementCommand(NewTranslation, BulkCommand):
    """`PUT /users/achievements/{achievement_id}/translations/{language}`."""

    leads_to: ClassVar = AchievementTranslated
    type: Literal["translate-achievement"]
    achievement_id: Id
    achievement_language: Language

    def command(self) -> Command:
        """Return the command."""
        return self.command_for(self.achievement_id, self.achievement_language)
