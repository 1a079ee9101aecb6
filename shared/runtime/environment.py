"""The environment and the file `.env`, read strictly: a setting that is misspelt opens what it should close."""

import difflib
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

PREFIX: Final = "LAURELS_"
NO_SETTINGS: Final = frozenset(
    {"LAURELS_TOKEN", "LAURELS_REQUIRE_HAPROXY", "LAURELS_REQUIRE_KAFKA", "LAURELS_TEST_DUMP"}
)
"""Names of ours that no service reads: the command line's token, and switches of the tests."""
ALIKE: Final = 0.75
"""How much a setting has to resemble an unknown name of ours to be proposed."""
NEARLY_EQUAL: Final = 0.9
"""How much a name without the prefix has to resemble a setting to be taken for a misspelt one."""


class BadEnvironment(Exception):
    """What is wrong, one sentence a line."""


def read(environ: Mapping[str, str], env_file: Path, settings: Collection[str]) -> dict[str, str]:
    """Return the values of these settings, by their names without the prefix; the environment wins over the file.

    Raises BadEnvironment for a name that is no setting and for a file that cannot be read or parsed.
    """
    known = {PREFIX + name.upper(): name for name in settings}
    found: dict[str, str] = {}
    wrong: list[str] = []
    for source, values in ((f"{env_file}: ", _from_file(env_file)), ("", environ)):
        for name, value in values.items():
            if name.upper() in known:
                found[known[name.upper()]] = value
            else:
                wrong += (f"{source}{sentence}" for sentence in _mistake(name, known))
    if wrong:
        raise BadEnvironment("\n".join(wrong))
    return found


def _mistake(name: str, known: Collection[str]) -> Iterator[str]:
    """Say so if a name was probably meant for one of ours."""
    upper = name.upper()
    ours = upper.startswith(PREFIX)
    likely = difflib.get_close_matches(upper, known, n=1, cutoff=ALIKE if ours else NEARLY_EQUAL)
    if (ours and upper not in NO_SETTINGS) or (not ours and likely):
        yield f"{name} is no setting of Laurels{f': did you mean {likely[0]}?' if likely else '.'}"


def _from_file(path: Path) -> dict[str, str]:
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as error:
        raise BadEnvironment(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadEnvironment(f"{path}, line {line}: this is not UTF-8. Save the file in UTF-8.") from error
    if wrong := [f"{path}, line {_line(binding)}: {why}" for binding in _bindings(text) if (why := _trouble(binding))]:
        raise BadEnvironment("\n".join(wrong))
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _bindings(text: str) -> Iterator[Binding]:
    return parse_stream(io.StringIO(text))


def _line(binding: Binding) -> int:
    # A binding begins with the empty lines before it.
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _trouble(binding: Binding) -> str | None:
    """Return why a line cannot be parsed, without repeating it: it may be a secret."""
    if binding.error:
        quoted = any(quote in binding.original.string for quote in "'\"")
        return "a quote is not closed, or something follows it." if quoted else "this is not of the form NAME=value."
    return 'there is no "=" after the name.' if binding.key is not None and binding.value is None else None
