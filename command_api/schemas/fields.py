"""What the fields of commands may be, and the bases of the models that they stand in."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from command_api.decisions import Command
from shared.domain import names
from shared.domain.days import is_timezone
from shared.domain.moments import moment
from shared.domain.names import InvalidName, Name
from shared.events.types import Event
from shared.http.documentation import LANGUAGE, MOMENT

Context = dict[str, frozenset[str]]
"""What models are validated with: which `languages` there are is a setting."""

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


class BulkCommand(Input, ABC):
    """Base of every command as `POST /commands` takes it: `type: Literal[…]` tells it from the others.

    `leads_to` is the event of a command that is accepted.
    """

    leads_to: ClassVar[type[Event]]
    idempotency_key: Omissible[IdempotencyKey] = OMITTED

    @abstractmethod
    def command(self) -> Command:
        """Return the command."""

    @classmethod
    def type_name(cls) -> str:
        """Return the one value of `type`."""
        (name,) = get_args(cls.model_fields["type"].annotation)
        return str(name)

    @classmethod
    def fields_for(cls, event: Event, username: str | None) -> dict[str, Any]:
        """Return the fields with which the command leads to this event; the user had this name before it."""
        known = {field.name: getattr(event, field.name) for field in fields(event)}
        known = {"type": cls.type_name(), "username": username, **known}
        return {name: known[name] for name in cls.model_fields if name in known}
