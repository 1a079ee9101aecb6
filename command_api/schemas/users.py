"""Commands about users as JSON."""

from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from command_api.decisions import Command
from command_api.decisions.users import ChangeUser, CreateUser
from command_api.schemas.fields import OMITTED, BulkCommand, Input, Language, Omissible, Timezone, Username
from shared.domain import names
from shared.events.types import Event, UserChanged, UserCreated


class NewUser(Input):
    """A user to register."""

    username: Username
    user_language: Language
    user_timezone: Timezone = "UTC"

    def command(self) -> Command:
        """Return the command."""
        return CreateUser(username=self.username, user_language=self.user_language, user_timezone=self.user_timezone)


class UserChanges(Input):
    """What is to change about a user; at least one field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    username: Omissible[Username] = OMITTED
    user_language: Omissible[Language] = OMITTED
    user_timezone: Omissible[Timezone] = OMITTED

    @model_validator(mode="after")
    def _something_is_to_change(self) -> Self:
        if not self.model_fields_set & set(UserChanges.model_fields):
            raise PydanticCustomError("empty", "Give at least one of username, user_language and user_timezone.")
        return self

    def command_for(self, username_key: str) -> Command:
        """Return the command about this user."""
        return ChangeUser(
            username_key=username_key,
            new_username=self.username,
            user_language=self.user_language,
            user_timezone=self.user_timezone,
        )


class CreateUserCommand(NewUser, BulkCommand):
    """`POST /users`."""

    leads_to: ClassVar = UserCreated
    type: Literal["create-user"]


class ChangeUserCommand(BulkCommand):
    """`PATCH /users/{username}`; a new name is `new_username`."""

    leads_to: ClassVar = UserChanged
    type: Literal["change-user"]
    username: str
    new_username: Omissible[Username] = OMITTED
    user_language: Omissible[Language] = OMITTED
    user_timezone: Omissible[Timezone] = OMITTED

    def command(self) -> Command:
        """Return the command."""
        return ChangeUser(
            username_key=names.lookup_key(self.username),
            new_username=self.new_username,
            user_language=self.user_language,
            user_timezone=self.user_timezone,
        )

    @classmethod
    def fields_for(cls, event: Event, username: str | None) -> dict[str, Any]:
        """Return the fields: the name that the event has is the new one."""
        fields = super().fields_for(event, username)
        return {**fields, "username": username, "new_username": fields["username"]}
