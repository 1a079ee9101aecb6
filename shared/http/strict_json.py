"""JSON as the contract wants it: what JSON's own grammar leaves open is refused, and nothing of it is echoed.

Nothing here takes longer than some milliseconds at a time, whatever the text: what is long is looked over before it is
decoded, and arrays are decoded piece by piece.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from shared.http.problems import ERRORS_LISTED, InputError, Problem, content_too_large, invalid_input, pointer

Model = TypeVar("Model", bound=BaseModel)

PIECE: Final = 16 * 1024
"""Bytes or characters that are decoded within some milliseconds, whatever they are."""
EXACT: Final = 2**53
"""Below this a double is the very integer that was written."""
TOKENS: Final = 2_000
"""Texts, opening brackets and commas that a longer text may have; what is no array of commands has some dozens."""


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
        text = raw.decode()
        _refuse_crowded(text)
        return _DECODER.decode(text)
    except _REFUSALS as error:
        raise _refusal(error) from None


def elements(raw: bytes, longest: int) -> Iterator[list[Any]]:
    """Yield the elements of an array as `decode` does, those of one PIECE of the text at a time, which may be none.

    Raises a 400 Problem as soon as the array turns out not to be one, a 413 Problem for an element of more than
    `longest` characters.
    """
    try:
        texts = _texts(raw)
        text = ""
        while not text:
            text = next(texts).lstrip(_SPACE)
            yield []
        begins = _BEGIN.match(text)
        if begins is None:
            message = "The body has to be a JSON array."
            raise _Refused(message)
        text, ended = text[begins.end() :], begins[1] is not None
        while not ended:
            found, at, ended = _complete(text)
            yield found
            text = text[at:]
            if not found:
                _refuse_crowded(text)
                if len(text) > longest:
                    raise content_too_large(longest, "An element of the array")
                # Twice as much each time, or a long element would be looked through again with every piece of it.
                text = (text + _more(texts, len(text))).lstrip(_SPACE)
        for rest in chain([text], texts):
            if rest.strip(_SPACE):
                raise _Refused(_MALFORMED)
            yield []
    except _REFUSALS as error:
        raise _refusal(error) from None


def validate(model: type[Model], value: object, *, context: dict[str, Any] | None = None) -> Model:
    """Return the value as a model. Raises a 400 Problem that names each field that is wrong."""
    try:
        # Without the method around it, which costs each of many commands half a microsecond.
        made: Model = model.__pydantic_validator__.validate_python(value, context=context)
    except ValidationError as error:
        found = _errors(error, model)
        raise invalid_input(*found, unlisted=error.error_count() - len(found)) from None
    return made


class _Refused(ValueError):
    pass


_REFUSALS = (ValueError, RecursionError, StopIteration)
_MALFORMED = "The body is not well-formed JSON."
_SPACE = " \t\n\r"
_BEGIN = re.compile(rf"\[[{_SPACE}]*+(\])?")
_SEPARATOR = re.compile(rf"[{_SPACE}]*+(,|\])[{_SPACE}]*+")
# A text that never ends is one token too, or each quotation mark in it would be looked at as the beginning of another.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]', re.DOTALL)


def _malformed(detail: str) -> Problem:
    return invalid_input(InputError("", detail))


def _refusal(error: Exception) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return _malformed("The body is not UTF-8.")
    return _malformed(str(error) if isinstance(error, _Refused) else _MALFORMED)


def _refuse_crowded(text: str) -> None:
    """Refuse what is long and has more in it than any command, before it costs the time and memory to decode it."""
    if len(text) <= PIECE or sum(map(text.count, "[{,")) * 2 <= TOKENS:
        return
    if next(islice(_TOKEN.finditer(text), TOKENS, None), None) is not None:
        message = "The body has more in it than any command."
        raise _Refused(message)


def _texts(raw: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(raw), PIECE):
        yield decoder.decode(raw[start : start + PIECE], final=start + PIECE >= len(raw))


def _more(texts: Iterator[str], size: int) -> str:
    if more := "".join(islice(texts, size // PIECE + 1)):
        return more
    raise _Refused(_MALFORMED)


def _complete(text: str) -> tuple[list[Any], int, bool]:
    """Return whole elements, of one PIECE and a bit, where the next one begins, and whether the array has ended."""
    found: list[Any] = []
    at = 0
    while at <= PIECE:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except _Refused:
            raise
        except ValueError:
            # It is cut off, or malformed, which shows when there is no more of it.
            break
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            break
        found.append(value)
        at = separator.end()
        if separator[1] == "]":
            return found, at, True
    return found, at, False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        message = "The body has an object with the same name twice."
        raise _Refused(message)
    return made


def _number(text: str) -> float | int:
    value = float(text)
    if math.isinf(value):
        message = "The body has a number that is out of range."
        raise _Refused(message)
    # For JSON, and for JSON Schema, 1.0 is as much an integer as 1.
    return int(value) if value.is_integer() and abs(value) < EXACT else value


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
    unknown = f"There is no such field here; known are: {', '.join(model.model_fields)}."
    for part in error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_LISTED]:
        if part["type"] == "extra_forbidden":
            # No object that is sent here has another one within.
            detail, unknown = unknown, "There is no such field here."
        else:
            detail = _DETAILS.get(part["type"]) or _sentence(part["msg"])
        found.append(InputError(pointer(*part["loc"]), detail))
    return found


_DETAILS = {
    "missing": "The field is required.",
    "model_type": "This has to be a JSON object.",
    "model_attributes_type": "This has to be a JSON object.",
}


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."
