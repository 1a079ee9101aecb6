"""The field's words: the glossary of docs/architecture.md is kept to, and private words do not come back."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("alembic", "all_in_one", "cli", "command_api", "projector", "query_api", "shared")
TEXTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "compose.yaml",
    "haproxy.cfg",
    "Makefile",
    "pyproject.toml",
    ".env.example",
)
SUFFIXES = (".py", ".sql", ".md", ".json")

GAP = r"(?:[\s#*>-]|--)+"
"""What stands between two words of a phrase, a line's end and a comment's sign included."""
ANYWHERE = {
    r"whereabouts": "ReadModelVersion",
    r"promis(?:e|es|ed|ing)": "visibility watermark; guarantee",
    r"heard": "received, wait_for",
    r"aside": "quarantined; except",
    r"lift(?:s|ed|ing)?": "upcast",
    r"whoever": "who is meant",
    r"anew": "again",
    rf"nothing{GAP}between": "no_middleware",
    rf"nobody{GAP}there": "what is missing",
    r"hot": "cached statistics, response cache",
    rf"look-?ups?{GAP}in{GAP}groups": "batched lookups",
    rf"(?:stand|stands|standing|stood){GAP}by": "standby generation, standby relay",
}
"""Words in prose and in names, in any case, and what to say instead."""
IN_NAMES = {
    r"places?": "ReadModelVersion, position",
    r"moves": "total_changes",
    rf"let{GAP}go": "what is released, and why",
}
"""Ordinary English in prose, but no names of ours."""
ALLOWED = {
    ("docs/performance.md", "hot"): "the name of a line of the bench, and of its results",
    ("cli/what_if.py", "place"): "a user's rank in a table",
    ("projector/what_if.py", "place"): "a user's rank in a table",
    ("docs/operations.md", "place"): "the same as a member of JSON",
    ("all_in_one/embedded_postgres/binaries.py", "place"): "a folder where binaries may be",
    ("all_in_one/embedded_postgres/binaries.py", "places"): "folders where binaries may be",
}


def documents() -> Iterator[Path]:
    """Yield production code, statements, documents, and what else users read."""
    yield from (ROOT / name for name in TEXTS)
    for package in (*PACKAGES, "docs"):
        for folder, folders, files in os.walk(ROOT / package):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from (Path(folder, name) for name in files if name.endswith(SUFFIXES))


def words(text: str) -> str:
    """Return the text with names taken apart at underscores and capitals; lines stay what they are."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("_", " "))


def names(path: Path, text: str) -> str:
    """Return the text with everything but names blank: code without its prose, or what stands in backticks."""
    if path.suffix == ".sql":
        return re.sub(r"--.*|'[^'\n]*'", "", text)
    if path.suffix != ".py":
        spans = (
            re.sub(r"`[^`\n]+`|(.)", lambda found: "" if found[1] else found[0], line) for line in text.split("\n")
        )
        return "\n".join(spans)
    without_strings = re.sub(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"', lambda found: "\n" * found[0].count("\n"), text)
    return re.sub(r"#.*", "", without_strings)


def found(text: str, forbidden: dict[str, str], path: str) -> Iterator[str]:
    text = words(text)
    for pattern, instead in forbidden.items():
        for match in re.finditer(rf"\b{pattern}\b", text, re.IGNORECASE):
            word = " ".join(match[0].split())
            if (path, word.lower()) not in ALLOWED:
                yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {word} → {instead}"


def test_no_private_words() -> None:
    """Code, statements and documents say what they mean in the words of the field."""
    wrong = list[str]()
    for document in sorted(documents()):
        path, text = document.relative_to(ROOT).as_posix(), document.read_text(encoding="utf-8")
        wrong += found(path, ANYWHERE | IN_NAMES, path)
        wrong += [*found(text, ANYWHERE, path), *found(names(document, text), IN_NAMES, path)]
    assert wrong == [], "\n".join(["", *wrong])


def test_no_private_words_in_the_names_of_tests() -> None:
    """Tests are found by the field's words too."""
    wrong = list[str]()
    for file in sorted((ROOT / "tests").rglob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        defined = [
            node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        if file != Path(__file__):
            wrong += [line for name in [path, *defined] for line in found(name, ANYWHERE, f"{path} {name}")]
    assert wrong == [], "\n".join(["", *wrong])


@pytest.mark.parametrize("text", ["_Whereabouts", "put\n    # aside", "hot_paths", "Standing by", "lifted"])
def test_private_words_are_found_in_every_form(text: str) -> None:
    """A name, a phrase over two lines of comment and a capital hide nothing."""
    assert list(found(text, ANYWHERE, "a")) != []


@pytest.mark.parametrize("text", ["shot", "photo", "overheard", "understand bytes", "shoplifter", "besides"])
def test_other_words_are_left_alone(text: str) -> None:
    """Only whole words count."""
    assert list(found(text, ANYWHERE, "a")) == []
