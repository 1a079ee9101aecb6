"""Statements that stand in files of their own, beside the code that runs them."""

from functools import cache
from importlib.resources import files


@cache
def sql(package: str, name: str) -> str:
    """Return the text of `name.sql` in the folder of a package; a name may lead into a folder below it."""
    return files(package).joinpath(f"{name}.sql").read_text("utf-8").rstrip()
