"""The questions: a folder each, with the statement of today, `current.sql`, and that of the past, `as_of.sql`.

A statement names the tables of the generation without a schema: the session's search_path says which generation is
meant, and the setting `laurels.generation` its number. `:name` stands for the text of `pieces/name.sql`.

In `as_of.sql`, `$1` is the last position that was known, `$2` the last `awarded_at` that counts (null for any), and
`$3` onwards are the parameters of `current.sql`. Its columns are those of `current.sql`.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final

from shared.read_models.generations import SERVED

PIECE: Final = re.compile(r"(?<![:\w]):([a-z_]+)")


@cache
def current(question: str) -> str:
    """Return the statement that asks the read models as they are."""
    return _with_pieces(_read(f"{question}/current.sql"))


@cache
def as_of(question: str) -> str:
    """Return the statement that asks how it was."""
    return _with_pieces(_read(f"{question}/as_of.sql"))


def response(question: str, asked: str) -> str:
    """Return the statement that answers a question with the generation and the Read-Position of the same snapshot.

    `asked` is a relation of numbered lookups.
    """
    pieces = {"served": SERVED, "asked": asked, "question": question}
    return PIECE.sub(lambda found: pieces[found[1]], _read("response.sql"))


@cache
def version() -> str:
    """Return the statement that asks for the version of the read models."""
    return PIECE.sub(SERVED, _read("version.sql"))


def _with_pieces(text: str) -> str:
    return PIECE.sub(lambda found: _with_pieces(_read(f"pieces/{found[1]}.sql")), text)


def _read(path: str) -> str:
    return files(__name__).joinpath(path).read_text("utf-8").rstrip()
