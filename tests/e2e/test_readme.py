"""The README keeps its word: its tour runs as it is written, and its table of settings is that of the code."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from projector.rebuild import rebuildable
from shared.runtime.settings import Settings
from tests.support.deployments import Laurels
from tests.support.processes import ROOT

BASE_URL = "http://localhost:8000"
PROMPT = "$ "
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = re.compile(r"…|\.\.\.")
TABLE_ROW = re.compile(r"^\| `(LAURELS_\w+)` \| (?:`(.*?)`)? *\| .+ \|$", re.MULTILINE)
EXAMPLE = re.compile(r"(?:^# .+\n)+^#(LAURELS_\w+)=(.*)$", re.MULTILINE)
BASH, CURL = shutil.which("bash"), shutil.which("curl")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the tour and what it prints; `…` stands for any text."""

    command: str
    expected: str

    def fits(self, printed: str) -> bool:
        """Tell whether this is what the README shows."""
        pattern = ".*?".join(map(re.escape, ANYTHING.split(self.expected)))
        return re.fullmatch(pattern, printed, re.DOTALL) is not None


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def tour(text: str) -> Iterator[Step]:
    """Yield the steps in order. A line that ends in a backslash goes on in the next one."""
    for block in CONSOLE.findall(text):
        command, printed = "", list[str]()
        for line in block.splitlines():
            if line.startswith(PROMPT):
                if command:
                    yield Step(command, "\n".join(printed))
                command, printed = line.removeprefix(PROMPT), []
            elif command.endswith("\\") and not printed:
                command += f"\n{line}"
            else:
                printed.append(line)
        yield Step(command, "\n".join(printed))


def run(steps: list[Step], base_url: str, folder: Path) -> list[str]:
    """Run all commands in one shell, as a reader would; return what each printed."""
    assert BASH is not None
    # However busy this machine is, a command waits until reads show it; a reader's own wait is a second.
    (folder / ".curlrc").write_text('header = "Prefer: wait=10"\n')
    script = "".join(f"{step.command}\nprintf '\\0'\n" for step in steps).replace(BASE_URL, base_url)
    finished = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "CURL_HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    parts = finished.stdout.decode().replace("\r\n", "\n").split("\0")
    return [part.strip() for part in parts[:-1]]


def defaults() -> Mapping[str, str]:
    return {f"LAURELS_{name.upper()}": str(field.default) for name, field in Settings.model_fields.items()}


@pytest.mark.skipif(BASH is None or CURL is None, reason="the tour needs bash and curl")
def test_the_tour_prints_what_the_readme_shows(fresh_laurels: Callable[..., Laurels], tmp_path: Path) -> None:
    """Whoever types the tour into a shell sees what the README shows, in both deployments."""
    steps = list(tour(readme()))
    printed = run(steps, fresh_laurels().base_url, tmp_path)
    wrong = [(step, found) for step, found in zip(steps, printed, strict=True) if not step.fits(found)]
    assert wrong == []
    assert len(steps) > 10


def test_the_tour_compares_what_it_prints() -> None:
    """The dots stand for any text, and everything else for itself."""
    step = Step("true", '{"award_id":14,…}')
    assert step.fits('{"award_id":14,"user_id":2}')
    assert not step.fits('{"award_id":15,"user_id":2}')
    assert not step.fits('{"award_id":14,"user_id":2} and more')


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """The table of settings has the names and defaults of the code, in its order."""
    assert list(defaults().items()) == TABLE_ROW.findall(readme())


def test_the_readme_names_every_projection() -> None:
    """Whoever rebuilds one of them finds its name."""
    assert [] == [name for name in rebuildable() if f"`{name}`" not in readme()]


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    """Each setting stands in .env.example with a sentence and its default, commented out."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert list(defaults().items()) == EXAMPLE.findall(example)
    assert [] == [line for line in example.splitlines() if line and not line.startswith("#")]


def test_the_example_file_uncommented_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking the # off every line of .env.example leaves Laurels as it is without the file."""
    for name in defaults():
        monkeypatch.delenv(name, raising=False)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(example.replace("#LAURELS_", "LAURELS_"), encoding="utf-8")
    assert Settings(_env_file=None) == Settings(_env_file=tmp_path / ".env")
