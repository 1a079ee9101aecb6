"""Query parameters: each is declared once, and its declaration both parses and documents it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request

from shared.domain.errors import InvalidInput
from shared.http.problems import InputError, invalid_input, pointer

Value = TypeVar("Value")

MOST_DIGITS: Final = 16
"""Digits of the greatest number that JSON has exactly, 2^53."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Generic[Value]):
    """A query parameter; `parse` raises a ValueError that says what the text has to be."""

    name: str
    parse: Callable[[str], Value]
    default: Value
    schema: Mapping[str, Any]
    description: str = ""

    def documented(self) -> dict[str, Any]:
        """Return the parameter as OpenAPI has it."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, "in": "query", "schema": dict(self.schema), **described}


def integer(name: str, least: int, most: int, default: int, description: str = "") -> Parameter[int]:
    """Declare a number within bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and least <= int(text) <= most):
            raise ValueError(f"This has to be an integer from {least} to {most}.")
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, parse, default, schema, description)


def boolean(name: str, description: str = "") -> Parameter[bool]:
    """Declare a truth value, false by default."""
    return Parameter(
        name,
        lambda text: _one_of({"true": True, "false": False}, text, "This has to be true or false."),
        default=False,
        schema={"type": "boolean", "default": False},
        description=description,
    )


def choice(name: str, *options: str, description: str = "") -> Parameter[str]:
    """Declare one of some words, of which the first is the default."""
    known = dict(zip(options, options, strict=True))
    return Parameter(
        name,
        lambda text: _one_of(known, text, f"This has to be one of: {', '.join(options)}."),
        options[0],
        {"type": "string", "enum": list(options), "default": options[0]},
        description,
    )


def text(name: str, schema: Mapping[str, Any], description: str = "") -> Parameter[str | None]:
    """Declare a text that its reader checks."""
    return Parameter(name, str, None, schema, description)


def _one_of(known: Mapping[str, Value], given: str, otherwise: str) -> Value:
    if given not in known:
        raise ValueError(otherwise)
    return known[given]


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a request: their values by declaration, and `texts` by name as the client wrote them."""

    texts: Mapping[str, str]
    _values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, parameter: Parameter[Value]) -> Value:
        value: Value = self._values.get(parameter.name, parameter.default)
        return value


NONE_GIVEN: Final = Given({})


class Parameters:
    """The parameters that a route takes."""

    def __init__(self, *declared: Parameter[Any]) -> None:
        self._declared = {parameter.name: parameter for parameter in declared}

    def of(self, request: Request) -> Given:
        """Return what a request gives. Raises a 400 Problem for anything that is not declared so."""
        texts = query_parameters(request, *self._declared)
        return self.parsed(texts) if texts else NONE_GIVEN

    def parsed(self, texts: Mapping[str, str]) -> Given:
        """Return the values of these texts. Raises a 400 Problem that names the parameter that is wrong."""
        values = {}
        for name, given in texts.items():
            try:
                values[name] = self._declared[name].parse(given)
            except ValueError as error:
                raise invalid_input(InputError(f"/{name}", str(error))) from None
        return Given(texts, values)

    def documented(self) -> list[dict[str, Any]]:
        """Return the parameters as OpenAPI has them."""
        return [parameter.documented() for parameter in self._declared.values()]


def query_parameters(request: Request, *known: str) -> dict[str, str]:
    """Return the query parameters. Raises a 400 Problem for unknown or repeated ones, NUL and what is not UTF-8."""
    raw = request.scope["query_string"]
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise invalid_input(InputError("", "The query is not UTF-8.")) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            accepted = f"known are: {', '.join(known)}" if known else "none is known"
            raise invalid_input(InputError(pointer(name), f"There is no such query parameter here; {accepted}."))
        if name in found:
            raise invalid_input(InputError(f"/{name}", "The query parameter is given twice."))
        if "\0" in value:
            raise invalid_input(InputError(f"/{name}", "The query parameter has a NUL character."))
        found[name] = value
    return found


_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def path_id(name: str, text: str) -> int:
    """Return an id from a path. Raises InvalidInput when it is not a positive integer below 2^53."""
    if not _ID.fullmatch(text) or int(text) >= 2**53:
        raise InvalidInput(f"/{name}", "An id is a positive integer below 2^53.")
    return int(text)
