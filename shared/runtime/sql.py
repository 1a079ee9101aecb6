"""Statements that stand in files of their own, beside the code that runs them."""

import re
from functools import cache
from importlib.resources import files
from typing import Final

PIECE: Final = re.compile(r"(?<![:\w]):([a-z_]+)")


@cache
def sql(package: str, name: str, **pieces: str) -> str:
    """Return the text of `name.sql` in the folder of a package; a name may lead into a folder below it.

    `:piece` in it stands for the text that is given under this name, else for that of `pieces/piece.sql` beside it.
    """
    given = dict(pieces)

    def text_of(found: re.Match[str]) -> str:
        piece = found[1]
        return given[piece] if piece in given else sql(package, f"pieces/{piece}", **pieces)

    return PIECE.sub(text_of, files(package).joinpath(f"{name}.sql").read_text("utf-8").rstrip())
