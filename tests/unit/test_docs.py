"""The documentation keeps up with the code: links lead somewhere, and the files that it names exist."""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")),
)
DECISIONS = tuple(sorted(f"docs/adr/{file.name}" for file in (ROOT / "docs" / "adr").iterdir()))
PACKAGES = ("alembic", "all_in_one", "cli", "command_api", "projector", "query_api", "shared")

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.{},*-]+(?:/[\w.{},*-]+)*\.(?:py|sql|md|yaml|toml|cfg|lock|json|xml)")
FOLDER = re.compile(r"([\w-]+)/(?:[\w{},*-]+/)*[\w{},*-]*")
MODULE = re.compile(r"([a-z_]+)(?:\.[a-z_]+)+")
NOT_OF_THE_REPOSITORY = {"Badges.xml", "Users.xml"}


@cache
def paths() -> tuple[str, ...]:
    """Return every file and folder of the repository, relative to it; folders end with a slash."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders if not name.startswith((".", "__pycache__")) and not name.endswith(".egg-info")
        ]
        parent = Path(folder).relative_to(ROOT)
        found += [(parent / name).as_posix() for name in files] + [f"{(parent / name).as_posix()}/" for name in folders]
    return tuple(found)


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors that headings have on a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def alternatives(name: str) -> list[str]:
    """Return what `a/{b,c}` and `NAME` stand for, as patterns of paths."""
    if braces := re.search(r"\{([^{}]*)\}", name):
        before, after = name[: braces.start()], name[braces.end() :]
        return [each for part in braces[1].split(",") for each in alternatives(before + part.strip() + after)]
    return [re.sub(r"\b[A-Z]{2,}\b", "*", name)]


def exists(name: str) -> bool:
    """Tell whether every path that is meant is one of the repository, from its root or as the end of a path."""
    return all(
        any(fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}") for path in paths())
        for pattern in alternatives(name)
    )


def named_files(text: str) -> Iterator[str]:
    """Yield what looks like a file, a folder or a module of the repository."""
    for span in SPAN.findall(FENCED.sub("", text)):
        folder, module = FOLDER.fullmatch(span), MODULE.fullmatch(span)
        if module and module[1] in PACKAGES:
            yield span.replace(".", "/")
        elif (FILE.fullmatch(span) and span not in NOT_OF_THE_REPOSITORY) or (folder and f"{folder[1]}/" in paths()):
            yield span


def is_module(name: str) -> bool:
    return exists(name) or exists(f"{name.rstrip('/')}/") or exists(f"{name}.py")


@pytest.mark.parametrize("document", [*DOCUMENTS, *DECISIONS])
def test_links_lead_somewhere(document: str) -> None:
    """A relative link leads to a file that exists and to a heading that it has."""
    broken = []
    for link in LINK.findall(text_of(document)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / document).parent / target if target else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *DECISIONS])
def test_files_that_are_named_exist(document: str) -> None:
    """A file, folder or module in backticks is one of this repository."""
    assert [] == [name for name in named_files(text_of(document)) if not is_module(name)]


def test_the_architecture_lists_every_decision() -> None:
    """The list of decisions has all of them, in order, under their own titles."""
    expected = []
    for document in DECISIONS:
        number = int(Path(document).name.partition("-")[0])
        heading = text_of(document).partition("\n")[0]
        expected.append(f"{number}. [{heading.removeprefix(f'# {number}. ')}]({document.removeprefix('docs/')})")
    listed = re.findall(r"^\d+\. \[.+\]\(adr/.+\)$", text_of("docs/architecture.md"), re.MULTILINE)
    assert expected == listed


def test_the_map_names_every_folder() -> None:
    """Every folder of production code is on the map of folders; those of one kind stand there as NAME."""
    named = [pattern for name in SPAN.findall(text_of("docs/architecture.md")) for pattern in alternatives(name)]
    folders = [
        path for path in paths() if path.endswith("/") and path.startswith(tuple(f"{name}/" for name in PACKAGES))
    ]
    assert [] == [folder for folder in folders if not any(fnmatchcase(folder, pattern) for pattern in named)]
