"""How long a server's event loop keeps everybody waiting, seen from outside: the longest wait for `/health`.

What counts is the processor time that the server spent meanwhile: on a busy machine it may wait for a processor too,
and that is nothing that it could help. The probe is a process of its own, or it would measure the test's work as well.
"""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from tests.support.processes import ROOT, STOP_SECONDS, Service

PAUSE_SECONDS = 0.002
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A running probe."""

    process: subprocess.Popen[str]

    def longest(self) -> float:
        """Return the longest wait in seconds since this was asked last, the one under way included."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


@contextmanager
def probing(service: Service) -> Iterator[Probe]:
    """Ask a service for `/health` again and again until the context ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stalls", str(service.port), str(service.process.pid)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        probe = Probe(process)
        probe.longest()
        yield probe
    finally:
        process.communicate(timeout=STOP_SECONDS + TIMEOUT_SECONDS)


class _Asking(threading.Thread):
    """Asks without end; `longest` is the longest wait so far."""

    def __init__(self, port: int, pid: int) -> None:
        super().__init__(daemon=True)
        self._port, self._server = port, psutil.Process(pid)
        self._since: tuple[float, float] | None = None
        self.longest = 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        while True:
            with suppress(OSError, http.client.HTTPException):
                self._since = self._now()
                connection.request("GET", "/health")
                connection.getresponse().read()
                self.longest = max(self.longest, self.waiting())
            self._since = None
            time.sleep(PAUSE_SECONDS)

    def waiting(self) -> float:
        """Return for how many seconds the question under way has kept the server busy."""
        since = self._since
        if since is None:
            return 0.0
        seconds, worked = self._now()
        return min(seconds - since[0], worked - since[1])

    def _now(self) -> tuple[float, float]:
        worked = self._server.cpu_times()
        return time.perf_counter(), worked.user + worked.system


def _main(port: int, pid: int) -> None:
    asking = _Asking(port, pid)
    asking.start()
    for _ in sys.stdin:
        longest = max(asking.longest, asking.waiting())
        asking.longest = 0.0
        sys.stdout.write(f"{longest}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
