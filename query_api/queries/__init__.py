"""The questions: a folder each, with the statement of today, `current.sql`, and that of the past, `as_of.sql`.

A statement names the tables of the generation without a schema: the session's search_path says which generation is
meant, and the setting `laurels.generation` its number. `:name` stands for the text of `pieces/name.sql`.

In `as_of.sql`, `$1` is the last position that was known, `$2` the last `awarded_at` that counts (null for any), and
`$3` onwards are the parameters of `current.sql`. Its columns are those of `current.sql`.
"""

from functools import cache

from shared.read_models.generations import SERVED
from shared.runtime.sql import sql


def current(question: str) -> str:
    """Return the statement that asks the read models as they are."""
    return sql(__name__, f"{question}/current")


def as_of(question: str) -> str:
    """Return the statement that asks how it was."""
    return sql(__name__, f"{question}/as_of")


def response(question: str, asked: str) -> str:
    """Return the statement that answers a question with the generation and the Read-Position of the same snapshot.

    `asked` is a relation of numbered lookups.
    """
    return sql(__name__, "response", served=SERVED, asked=asked, question=question)


@cache
def version() -> str:
    """Return the statement that asks for the version of the read models."""
    return sql(__name__, "version", served=SERVED)
