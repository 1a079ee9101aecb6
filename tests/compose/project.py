"""The compose project under test, in a copy of this tree with a `.env` of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.compose.engine import Engine, EngineUnavailable
from tests.support.processes import ROOT, free_port

__all__ = ["ADMIN_TOKEN", "PASSWORD", "Project", "project", "until"]

PASSWORD: Final = "s3 cret/@:%"
"""Has characters that mean something in a URL."""
ADMIN_TOKEN: Final = "operators-only-0123456789"
BUILD_SECONDS: Final = 600
READY_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Project:
    """A running deployment; `command` is the compose that is there, v2 or 1.29."""

    command: Sequence[str]
    folder: Path
    engine: Engine
    name: str
    port: int

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"http://localhost:{self.port}"

    @property
    def api(self) -> str:
        """Where the API begins."""
        return f"{self.url}/api/v1"

    def compose(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run compose to its end, and see that it succeeds, or fails where it is meant to."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        assert fails == (done.returncode != 0), f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def up(self, *arguments: str) -> None:
        """Start what is not running, as the README says, and wait until the gateway serves."""
        self.compose("up", *arguments, "-d")
        self.wait_until_ready()

    def operate(self, *arguments: str, fails: bool = False) -> str:
        """Run a command of an operator as the README says; return what it printed."""
        done = self.compose("run", "--rm", "-T", "laurels", *arguments, fails=fails)
        return done.stdout + done.stderr

    def wait_until_ready(self) -> None:
        """Poll the gateway until the whole way to the database answers."""
        until(self._is_ready, READY_SECONDS, lambda: self.compose("logs", "--tail=20").stdout)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def containers(self, service: str) -> list[Any]:
        """Return the containers of a service, jobs that have ended among them."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        with self.engine.client() as client:
            found: list[Any] = client.containers.list(all=True, filters={"label": labels})
        # One-off runs of the tools are none of the service's.
        return [one for one in found if one.labels.get("com.docker.compose.oneoff", "False").lower() == "false"]

    def states(self, service: str) -> list[Any]:
        """Return what the engine says about the containers of a service, the last health checks among it."""
        return [one.attrs["State"] for one in self.containers(service)]

    def volumes(self) -> set[str]:
        """Return the names of all volumes of the engine that containers of this project made."""
        with self.engine.client() as client:
            return {volume.name for volume in client.volumes.list()}

    def write_settings(self, **settings: str) -> None:
        """Copy .env.example to .env, as the README says, and set some of it."""
        shutil.copy(self.folder / ".env.example", self.folder / ".env")
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"\n{name}={value}" for name, value in settings.items())

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LAURELS_")}
        # The classic builder, which every engine has.
        ours = {"DOCKER_HOST": self.engine.host, "COMPOSE_PROJECT_NAME": self.name, "COLUMNS": "200"}
        return {**inherited, **ours}


@contextmanager
def project(engine: Engine, folder: Path) -> Iterator[Project]:
    """Prepare the project, and take it away at the end with its containers, networks and volumes."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for file in filter(None, map(os.fsdecode, files)):
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    made = Project(_compose(engine), folder, engine, f"laurels-test-{os.getpid()}", free_port())
    try:
        yield made
    finally:
        made.compose("--profile", "tools", "down", "--volumes", "--remove-orphans", "--timeout", "2")


def _compose(engine: Engine) -> Sequence[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run(
                [*command, "version"],
                env={**os.environ, "DOCKER_HOST": engine.host},
                capture_output=True,
                check=False,
            )
            if asked.returncode == 0:
                return command
    message = "neither docker compose nor docker-compose is installed"
    raise EngineUnavailable(message)


def until(condition: Callable[[], bool], seconds: float = 60, tell: Callable[[], object] = str) -> None:
    """Poll until something is so; fail with what `tell` says if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)
