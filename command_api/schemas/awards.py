"""Commands about awards as JSON."""

from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from command_api.decisions import Command
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.schemas.fields import OMITTED, AchievementName, BulkCommand, Id, Input, Moment, Omissible, Reason
from shared.domain import names
from shared.events.types import AchievementAwarded, AwardRevoked


class NewAward(Input):
    """An achievement to award, by its id or by its name."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["achievement_id"]}, {"required": ["achievement_name"]}]}
    )

    achievement_id: Omissible[Id] = OMITTED
    achievement_name: Omissible[AchievementName] = OMITTED
    awarded_at: Omissible[Moment] = OMITTED

    @model_validator(mode="after")
    def _names_one_achievement(self) -> Self:
        if (self.achievement_id is None) == (self.achievement_name is None):
            raise PydanticCustomError("achievement", "Give either achievement_id or achievement_name.")
        return self

    def command_for(self, username_key: str) -> Command:
        """Return the command about this user."""
        return AwardAchievement(
            username_key=username_key,
            achievement_id=self.achievement_id,
            achievement_key=self.achievement_name.key if self.achievement_name else None,
            awarded_at=self.awarded_at,
        )


class Revocation(Input):
    """Why an award is taken back."""

    reason: Omissible[Reason] = OMITTED

    def command_for(self, award_id: int, username_key: str | None = None) -> Command:
        """Return the command about this award, of this user if one is named."""
        return RevokeAward(award_id=award_id, username_key=username_key, reason=self.reason)


class AwardAchievementCommand(NewAward, BulkCommand):
    """`POST /users/{username}/achievements`."""

    leads_to: ClassVar = AchievementAwarded
    type: Literal["award-achievement"]
    username: str

    def command(self) -> Command:
        """Return the command."""
        return self.command_for(names.lookup_key(self.username))


class RevokeAwardCommand(Revocation, BulkCommand):
    """`DELETE /users/{username}/achievements/{award_id}`, without the name."""

    leads_to: ClassVar = AwardRevoked
    type: Literal["revoke-award"]
    award_id: Id

    def command(self) -> Command:
        """Return the command."""
        return self.command_for(self.award_id)
