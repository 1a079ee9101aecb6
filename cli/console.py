"""How commands talk to the operator: tables or JSON, one sentence for an error, a question before a loss."""

import sys
from typing import Annotated, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape

errors = Console(stderr=True)

NEEDS_YES = 2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before what cannot be undone.")]


class CliError(Exception):
    """Something the operator must know; `str()` is one sentence for the terminal."""


def print_sentence(sentence: str) -> None:
    """Print a sentence as it is, however long it is."""
    Console().print(escape(sentence), soft_wrap=True)


def print_json(value: object) -> None:
    """Print dataclasses, mappings and sequences as one line of JSON; bytes as text, times in RFC 3339."""
    print(orjson.dumps(value, default=_as_json, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode())  # noqa: T201 - the command's output


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Print a sentence to standard error and exit."""
    errors.print(escape(sentence), style="red", highlight=False, soft_wrap=True)
    sys.exit(code)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; exit with 1 if the answer is no, with 2 if there is no terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} This cannot be undone: without a terminal to ask on, say --yes.", NEEDS_YES)
    if not typer.confirm(f"{question} This cannot be undone.", err=True):
        fail("Nothing has changed.")


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    raise TypeError(type(value).__name__)
