"""The environment and `.env`: what is misspelt or unreadable is refused, with a sentence that helps."""

import re
from pathlib import Path

import pytest

from shared.runtime.environment import NO_SETTINGS, BadEnvironment, read
from shared.runtime.settings import Settings
from tests.support.processes import ROOT

NAMES = Settings.model_fields
ABSENT = Path("/no/such/folder/.env")
TOKEN = "0123456789abcdef"  # noqa: S105 - made up
OURS = re.compile(r"LAURELS_[A-Z_]*[A-Z]")
MISSPELT_ON_PURPOSE = {"test_environment.py", "test_up.py"}


def refusal(environ: dict[str, str], env_file: Path = ABSENT) -> str:
    with pytest.raises(BadEnvironment) as caught:
        read(environ, env_file, NAMES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LAURELS_WRITE_TOKNS", "LAURELS_WRITE_TOKENS"),
        ("LAURELS_WRITE_TOKEN", "LAURELS_WRITE_TOKENS"),
        ("laurels_write_tokns", "LAURELS_WRITE_TOKENS"),
        ("LAURELS_HOSTNAME", "LAURELS_HOST"),
        ("LAUREL_WRITE_TOKENS", "LAURELS_WRITE_TOKENS"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_likely_one(name: str, meant: str) -> None:
    """A setting that is misspelt would open what it should close."""
    assert f"{name} is no setting of Laurels: did you mean {meant}?" == refusal({name: TOKEN})


def test_a_name_that_resembles_nothing_is_refused_too() -> None:
    """The prefix is ours alone."""
    assert "LAURELS_QQQQ is no setting of Laurels." == refusal({"LAURELS_QQQQ": "1"})


@pytest.mark.parametrize("name", ["PATH", "WRITE_TOKENS", "PGHOST", "HOST", *sorted(NO_SETTINGS)])
def test_what_is_no_setting_may_stand_there(name: str) -> None:
    """Names of other programs, of the command line and of the tests are left alone."""
    assert {} == read({name: "1"}, ABSENT, NAMES)


def test_every_name_that_the_project_uses_is_known() -> None:
    """No program, test or document of ours names a variable that a service would refuse."""
    files = [path for pattern in ("*.py", "*.md", "*.yaml", ".env.example") for path in ROOT.rglob(pattern)]
    ours = [path for path in files if ".venv" not in path.parts and path.name not in MISSPELT_ON_PURPOSE]
    named = {name for path in ours for name in OURS.findall(path.read_text(encoding="utf-8"))}
    settings = {f"LAURELS_{name.upper()}" for name in NAMES}

    assert settings | NO_SETTINGS == named


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """What a shell sets is meant for this run; the names may be in any case."""
    (tmp_path / ".env").write_text("\ufeffLAURELS_PORT=1\nexport LAURELS_HOST='localhost' # here\nOTHER=1\n")

    assert {"port": "2", "host": "localhost"} == read({"laurels_port": "2"}, tmp_path / ".env", NAMES)


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (f'\n\nLAURELS_WRITE_TOKENS="{TOKEN}\n'.encode(), 3, "a quote is not closed"),
        (f"LAURELS_PORT=1\nLAURELS_WRITE_TOKENS='{TOKEN}\nLAURELS_HOST=x\n".encode(), 2, "a quote is not closed"),
        (f'LAURELS_WRITE_TOKENS="{TOKEN}" and more\n'.encode(), 1, "something follows it"),
        (b"# a comment\nLAURELS_WRITE_TOKENS\n", 2, 'no "="'),
        (f"={TOKEN}\n".encode(), 1, "NAME=value"),
        (f"A=1\nLAURELS_WRITE_TOKENS={TOKEN}\xff".encode("latin-1"), 2, "UTF-8"),
        ("LAURELS_PORT=1\n".encode("utf-16"), 1, "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes, line: int, why: str) -> None:
    """A line that would be skipped may be the one that protects; it is named, and its secret is not repeated."""
    path = tmp_path / ".env"
    path.write_bytes(content)

    said = refusal({}, path)

    assert said.startswith(f"{path}, line {line}: ")
    assert why in said
    assert TOKEN not in said


def test_a_misspelt_name_in_the_file_is_refused(tmp_path: Path) -> None:
    """The file is named, so that nobody looks for it in the shell."""
    path = tmp_path / ".env"
    path.write_text("LAURELS_OPN=yes\n")

    assert f"{path}: LAURELS_OPN is no setting of Laurels: did you mean LAURELS_OPEN?" == refusal({}, path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """Settings that are there and cannot be read are not defaults."""
    path = tmp_path / "file" / ".env"
    (tmp_path / "file").write_text("")

    assert f"{path} cannot be read: Not a directory." == refusal({}, path)


def test_no_file_is_no_mistake(tmp_path: Path) -> None:
    """Neither a missing file nor a folder of that name says anything."""
    (tmp_path / ".env").mkdir()

    assert {} == read({}, tmp_path / ".env", NAMES) == read({}, ABSENT, NAMES)
