"""A Docker engine: the one of this machine, or one of our own that leaves nothing behind."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import docker
import requests

__all__ = ["Engine", "EngineUnavailable", "engine"]

START_SECONDS: Final = 60
NEEDED: Final = ("dockerd", "iptables-save", "iptables-restore", "ip", "unshare")
PR_SET_PDEATHSIG: Final = 1
TROUBLE: Final = (docker.errors.DockerException, requests.RequestException, OSError)


class EngineUnavailable(Exception):
    """No engine can be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Where an engine listens, and whether it is ours alone."""

    host: str
    is_ours: bool

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Connect to it; `docker` has no types."""
        with closing(docker.DockerClient(base_url=self.host, timeout=600)) as client:
            yield client


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that answers here, else one of our own. Raises EngineUnavailable."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(host):
        yield Engine(host, is_ours=False)
        return
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if os.geteuid() or missing:
        message = f"no Docker engine answers on {host}, and one of our own needs {', '.join(missing) or 'root'}"
        raise EngineUnavailable(message)
    with TemporaryDirectory(prefix="laurels-engine-") as folder, _networks_restored(), _daemon(Path(folder)) as own:
        yield own


def _answers(host: str) -> bool:
    with suppress(*TROUBLE), closing(docker.DockerClient(base_url=host, timeout=5)) as client:
        return bool(client.ping())
    return False


@contextmanager
def _daemon(folder: Path) -> Iterator[Engine]:
    """Run dockerd in process and mount namespaces of its own: containers and mounts end with it, however it ends."""
    host = f"unix://{folder}/docker.sock"
    options = {"host": host, "data-root": f"{folder}/data", "exec-root": f"{folder}/exec", "pidfile": f"{folder}/pid"}
    daemon = ["dockerd", *(f"--{name}={value}" for name, value in options.items())]
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--", *daemon],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_killed_with_its_parent,  # noqa: PLW1509 - it calls the kernel only
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(host):
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"dockerd does not come up: {log.read_text(errors='replace')[-2000:]}"
                raise EngineUnavailable(message)
            time.sleep(0.1)
        yield Engine(host, is_ours=True)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _networks_restored() -> Iterator[None]:
    """Take away the bridges and the packet filter's rules that an engine leaves when it ends."""
    rules = subprocess.run(["iptables-save"], capture_output=True, check=True).stdout
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before, forwarded = _bridges(), forwarding.read_text()
    try:
        yield
    finally:
        for bridge in _bridges() - before:
            subprocess.run(["ip", "link", "delete", bridge], check=False)
        for table in (b"filter", b"nat"):
            # A table that was empty is not in what was saved, so it is emptied first.
            for command in (["-F"], ["-X"]) if b"*" + table not in rules else ():
                subprocess.run(["iptables", "-t", table.decode(), *command], check=False)
        subprocess.run(["iptables", "-P", "FORWARD", "ACCEPT"], check=False)
        subprocess.run(["iptables-restore"], input=rules, check=True)
        forwarding.write_text(forwarded)


def _bridges() -> set[str]:
    return {link.parent.name for link in Path("/sys/class/net").glob("*/bridge")}


def _killed_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
