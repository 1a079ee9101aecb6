"""Starts the project's own commands as processes, waits until they serve, and stops them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
STOP_SECONDS = 15.0
RUN_SECONDS = 180.0
RESERVED_PORTS = 100
"""More than one test needs, and few enough for the files that a process may have open."""
PR_SET_PDEATHSIG = 1


_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that nobody is given by chance while the test runs.

    The socket stays bound and does not listen: what sets SO_REUSEADDR may listen there, the kernel gives the port to no
    one else. A port that was only looked at could go to a server of another test before ours had begun to listen.
    """
    if len(_reserved) == RESERVED_PORTS:
        _reserved.popleft().close()
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _reserved.append(holder)
    port: int = holder.getsockname()[1]
    return port


@dataclass(slots=True)
class Service:
    """A started command; what it prints is in `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        """Poll until it serves; raise with what it printed if it ends or takes too long."""
        wait_until_answers(f"{self.url}/ready", self)

    def stop(self) -> int:
        """Send SIGTERM and wait; return the exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            message = f"{self.name} did not stop within {STOP_SECONDS} s:\n{self.tail()}"
            raise AssertionError(message) from None

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-4000:]


def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    port: int = 0,
    working_directory: Path = ROOT,
) -> Service:
    """Start a command of this project, its log in `folder`; `python` and `laurels` are those of this environment."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            _found(command),
            cwd=working_directory,
            env=_clean({"LAURELS_PORT": str(port), "LAURELS_HOST": "127.0.0.1", **environment}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_as_from_a_terminal,  # noqa: PLW1509 - it calls the kernel only
        )
    return Service(name, process, log, port)


def run(
    command: Sequence[str], *, environment: Mapping[str, str], seconds: float = RUN_SECONDS, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command of this project, from its root or another folder, to its end, and return what it printed."""
    return subprocess.run(
        _found(command),
        cwd=folder,
        env=_clean(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def wait_until_answers(url: str, service: Service) -> None:
    """Poll an address until it answers 200; raise with what the service printed if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            break
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success and service.process.poll() is None:
                return
        time.sleep(0.05)
    message = f"{service.name} does not serve:\n{service.tail()}"
    raise AssertionError(message)


def _found(command: Sequence[str]) -> list[str]:
    program = {"python": sys.executable, "laurels": str(Path(sys.executable).parent / "laurels")}
    return [program.get(command[0], command[0]), *command[1:]]


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LAURELS_")}
    # Tables that the commands print are told how wide they may be, or they would cut names short.
    return {**inherited, "COLUMNS": "200", **environment}


def _as_from_a_terminal() -> None:
    # A shell that runs the tests in the background has them, and so their children, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
