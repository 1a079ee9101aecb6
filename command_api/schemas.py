"""The JSON that commands come in, checked field by field and turned into commands.

A model validates with the context `{"languages": frozenset[str]}`: which languages there are is a setting.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from command_api import commands
from command_api.commands import Command
from shared.domain import names
from shared.domain.days import is_timezone
from shared.domain.moments import moment
from shared.domain.names import InvalidName, Name
from shared.http.documentation import LANGUAGE, MOMENT
from shared.http.problems import InputError, invalid_input
from shared.http.strict_json import validate

Context = dict[str, Any]

MAX_POINT = 1_000_000
MAX_REASON = 1_000
TIMEZONE = {"type": "string", "format": "time-zone", "description": "IANA name.", "examples": ["Europe/Moscow"]}


def _text(rule: Callable[[str], Any]) -> PlainValidator:
    def check(value: object) -> Any:  # noqa: ANN401 - whatever the rule makes of it
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "This has to be a string.")
        try:
            return rule(value)
        except InvalidName as error:
            raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from None

    return PlainValidator(check)


def _known_language(value: str, info: ValidationInfo) -> str:
    languages = info.context["languages"] if info.context else frozenset()
    if value not in languages:
        raise PydanticCustomError(
            "language", "This has to be one of: {known}.", {"known": ", ".join(sorted(languages))}
        )
    return value


def _known_timezone(value: str) -> str:
    if not is_timezone(value):
        raise PydanticCustomError("timezone", "This has to be an IANA time zone such as Europe/Moscow.")
    return value


def _moment(value: str) -> datetime:
    try:
        return moment(value)
    except ValueError:
        raise PydanticCustomError(
            "timestamp", "This has to be an RFC 3339 timestamp such as 2026-01-31T12:00:00Z."
        ) from None


Username = Annotated[
    Name,
    _text(names.username),
    WithJsonSchema(
        {
            "type": "string",
            "format": "username",
            "minLength": 1,
            "maxLength": names.USERNAME_LIMIT,
            "description": "By the Nickname profile of PRECIS (RFC 8266), after which it is measured.",
            "examples": ["ada"],
        }
    ),
]
AchievementName = Annotated[
    Name,
    _text(names.achievement_name),
    WithJsonSchema(
        {
            "type": "string",
            "format": "achievement-name",
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
            "minLength": 1,
            "maxLength": names.ACHIEVEMENT_NAME_LIMIT,
            "description": "One line, not blank.",
            "examples": ["First run"],
        }
    ),
]
AchievementDescription = Annotated[
    str,
    _text(names.achievement_description),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
            "maxLength": names.ACHIEVEMENT_DESCRIPTION_LIMIT,
        }
    ),
]
Moment = Annotated[datetime, _text(_moment), WithJsonSchema(MOMENT)]
Language = Annotated[str, AfterValidator(_known_language), WithJsonSchema(LANGUAGE)]
Timezone = Annotated[str, AfterValidator(_known_timezone), WithJsonSchema(TIMEZONE)]
Id = Annotated[int, Field(ge=1, lt=2**53)]
Point = Annotated[int, Field(ge=0, le=MAX_POINT)]
Reason = Annotated[
    str,
    Field(max_length=MAX_REASON),
    WithJsonSchema({"type": "string", "pattern": r"^[^\u0000]*$", "maxLength": MAX_REASON}),
]


Value = TypeVar("Value")
if TYPE_CHECKING:
    Omissible: TypeAlias = Value | None
else:

    class Omissible:
        """A field that may be left out, and is None then; null is refused like any other wrong type."""

        def __class_getitem__(cls, wanted: Any) -> Any:  # noqa: ANN401 - any annotation
            """Return what pydantic is to check when the field is there."""
            return wanted


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


OMITTED: Any = Field(default=None, json_schema_extra=_without_default)


_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(text: str) -> str:
    """Return the key. Raises ValueError when it is not 1 to 255 printable ASCII characters."""
    if not _KEY.fullmatch(text):
        raise PydanticCustomError("key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    return text


IdempotencyKey = Annotated[
    str, AfterValidator(idempotency_key), WithJsonSchema({"type": "string", "pattern": "^[ -~]{1,255}$"})
]


class Input(BaseModel):
    """Base of all input: strict types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NewUser(Input):
    """A user to register."""

    username: Username
    user_language: Language
    user_timezone: Timezone = "UTC"

    def command(self) -> Command:
        """Return the command."""
        return commands.CreateUser(
            username=self.username, user_language=self.user_language, user_timezone=self.user_timezone
        )


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

    def command(self, username_key: str) -> Command:
        """Return the command."""
        return commands.ChangeUser(
            username_key=username_key,
            new_username=self.username,
            user_language=self.user_language,
            user_timezone=self.user_timezone,
        )


class NewAchievement(Input):
    """An achievement for the catalogue."""

    achievement_name: AchievementName
    achievement_description: AchievementDescription
    achievement_language: Language
    achievement_point: Point = 10
    repeatable: bool = True

    def command(self) -> Command:
        """Return the command."""
        return commands.DefineAchievement(
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

    def command(self, achievement_id: int, language: str) -> Command:
        """Return the command."""
        return commands.TranslateAchievement(
            achievement_id=achievement_id,
            achievement_language=language,
            achievement_name=self.achievement_name,
            achievement_description=self.achievement_description,
        )


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

    def command(self, username_key: str) -> Command:
        """Return the command."""
        return commands.AwardAchievement(
            username_key=username_key,
            achievement_id=self.achievement_id,
            achievement_key=self.achievement_name.key if self.achievement_name else None,
            awarded_at=self.awarded_at,
        )


class Revocation(Input):
    """Why an award is taken back."""

    reason: Omissible[Reason] = OMITTED


class BulkCommand(Input):
    """What every command of `POST /commands` may have beside its own fields."""

    idempotency_key: Omissible[IdempotencyKey] = OMITTED


class CreateUserCommand(NewUser, BulkCommand):
    """`POST /users`."""

    type: Literal["create-user"]


class ChangeUserCommand(BulkCommand):
    """`PATCH /users/{username}`; a new name is `new_username`."""

    type: Literal["change-user"]
    username: str
    new_username: Omissible[Username] = OMITTED
    user_language: Omissible[Language] = OMITTED
    user_timezone: Omissible[Timezone] = OMITTED

    def command(self) -> Command:
        """Return the command."""
        return commands.ChangeUser(
            username_key=names.lookup_key(self.username),
            new_username=self.new_username,
            user_language=self.user_language,
            user_timezone=self.user_timezone,
        )


class DefineAchievementCommand(NewAchievement, BulkCommand):
    """`POST /users/achievements`."""

    type: Literal["define-achievement"]


class TranslateAchievementCommand(NewTranslation, BulkCommand):
    """`PUT /users/achievements/{achievement_id}/translations/{language}`."""

    type: Literal["translate-achievement"]
    achievement_id: Id
    achievement_language: Language

    def command(self) -> Command:  # type: ignore[override]  # the single request has these in its path
        """Return the command."""
        return NewTranslation.command(self, self.achievement_id, self.achievement_language)


class AwardAchievementCommand(NewAward, BulkCommand):
    """`POST /users/{username}/achievements`."""

    type: Literal["award-achievement"]
    username: str

    def command(self) -> Command:  # type: ignore[override]  # the single request has the name in its path
        """Return the command."""
        return NewAward.command(self, names.lookup_key(self.username))


class RevokeAwardCommand(Revocation, BulkCommand):
    """`DELETE /users/{username}/achievements/{award_id}`, without the name."""

    type: Literal["revoke-award"]
    award_id: Id

    def command(self) -> Command:
        """Return the command."""
        return commands.RevokeAward(award_id=self.award_id, reason=self.reason)


AnyBulkCommand = (
    CreateUserCommand
    | ChangeUserCommand
    | DefineAchievementCommand
    | TranslateAchievementCommand
    | AwardAchievementCommand
    | RevokeAwardCommand
)

BULK_COMMANDS: dict[str, type[AnyBulkCommand]] = {
    model.model_fields["type"].annotation.__args__[0]: model  # type: ignore[union-attr]  # a Literal with one value
    for model in (
        CreateUserCommand,
        ChangeUserCommand,
        DefineAchievementCommand,
        TranslateAchievementCommand,
        AwardAchievementCommand,
        RevokeAwardCommand,
    )
}


def bulk_command(value: object, context: Context) -> AnyBulkCommand:
    """Return one command of a bulk request. Raises a 400 Problem."""
    kind = value.get("type") if isinstance(value, dict) else None
    model = BULK_COMMANDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        pointer = "/type" if isinstance(value, dict) else ""
        raise invalid_input(
            InputError(pointer, f"A command is an object whose type is one of: {', '.join(BULK_COMMANDS)}.")
        )
    return validate(model, value, context=context)
