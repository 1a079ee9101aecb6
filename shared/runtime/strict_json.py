"""JSON as the contract wants it: what JSON's own grammar leaves open is refused, and nothing of it is echoed."""

import json
import math
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from shared.runtime.problems import InputError, Problem, invalid_input

Model = TypeVar("Model", bound=BaseModel)


def parse(raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a JSON text in UTF-8.

    Raises a 400 Problem for malformed JSON, NaN and Infinity, numbers beyond a double, duplicate names, NUL and lone
    surrogates.
    """
    value = decode(raw)
    # Both can only be written as escapes, and an escape is rare: most bodies need no walk.
    if has_escapes(raw):
        refuse_unstorable(value)
    return value


def has_escapes(raw: bytes) -> bool:
    """Tell whether a text may have a NUL or a lone surrogate."""
    return b"\\u" in raw


def decode(raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Do as `parse` does, but let NUL and lone surrogates pass, for `refuse_unstorable` to find them."""
    try:
        return _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        raise _malformed("The body is not UTF-8.") from None
    except _Refused as error:
        raise _malformed(str(error)) from None
    except (ValueError, RecursionError):
        raise _malformed("The body is not well-formed JSON.") from None


def validate(model: type[Model], value: object, *, context: dict[str, Any] | None = None) -> Model:
    """Return the value as a model. Raises a 400 Problem that names each field that is wrong."""
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        raise invalid_input(*_errors(error, model)) from None


class _Refused(ValueError):
    pass


def _malformed(detail: str) -> Problem:
    return invalid_input(InputError("", detail))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        message = "The body has an object with the same name twice."
        raise _Refused(message)
    return made


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        message = "The body has a number that is out of range."
        raise _Refused(message)
    return value


def _constant(_name: str) -> NoReturn:
    message = "The body has NaN or Infinity, which JSON does not know."
    raise _Refused(message)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)


def refuse_unstorable(value: object) -> None:
    """Raise a 400 Problem if a text anywhere in the value has a NUL character or a lone surrogate."""
    try:
        _refuse_unstorable(value)
    except RecursionError:
        raise _malformed("The body is nested too deeply.") from None


def _refuse_unstorable(value: object) -> None:
    match value:
        case str():
            if "\0" in value or not _encodable(value):
                message = "The body has a NUL character or a lone surrogate."
                raise _malformed(message)
        case dict():
            for name, member in value.items():
                _refuse_unstorable(name)
                _refuse_unstorable(member)
        case list():
            for member in value:
                _refuse_unstorable(member)
        case _:
            pass


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _errors(error: ValidationError, model: type[BaseModel]) -> list[InputError]:
    found = []
    unknown = f"The object has a field that is not known here; known are: {', '.join(model.model_fields)}."
    for part in error.errors(include_url=False, include_context=False, include_input=False):
        location = part["loc"]
        # The name of an unknown field is the client's own text, so the pointer stops at the object that has it.
        known = location[:-1] if part["type"] == "extra_forbidden" else location
        pointer = "".join(f"/{step}" for step in known)
        # No object that is sent here has another one within.
        detail = unknown if part["type"] == "extra_forbidden" else _DETAILS.get(part["type"])
        found.append(InputError(pointer, detail or _sentence(part["msg"])))
    return found


_DETAILS = {
    "missing": "The field is required.",
    "model_type": "This has to be a JSON object.",
    "model_attributes_type": "This has to be a JSON object.",
}


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."
