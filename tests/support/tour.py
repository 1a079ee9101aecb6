"""The README's tour: its commands, and what each has to print."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

BASE_URL = "http://localhost:8000"
PROMPT = "$ "
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = re.compile(r"…|\.\.\.")
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
