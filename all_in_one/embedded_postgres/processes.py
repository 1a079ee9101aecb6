"""PostgreSQL's processes: started, waited for, found and stopped."""

import asyncio
import hashlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from all_in_one.embedded_postgres.account import Account, identity
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError

FAST_STOP_SECONDS = 5.0
HARD_STOP_SECONDS = 2.0
POLL_SECONDS = 0.05


def spawn(
    command: Sequence[str], account: Account | None, log: Path, descriptors: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, where the terminal's Ctrl-C does not reach it."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 (a path that we found)
            command,
            # Nothing of our environment belongs to PostgreSQL, least of all PGDATA or a secret.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            start_new_session=True,
            **identity(account),
        )
    finally:
        os.close(output)


async def succeeds(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child that ends by itself; whatever happens, it is gone afterwards."""
    try:
        await ends(process, seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode == 0


async def ends(process: subprocess.Popen[bytes], seconds: float = math.inf) -> bool:
    """Wait until a child has ended; return whether it has."""
    # Polled, because no event loop but asyncio's own can start a child as another user.
    return await _holds(lambda: process.poll() is not None, seconds)


async def _holds(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server that is our child: fast, then immediately, then by killing it."""
    for number, seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, HARD_STOP_SECONDS)):
        process.send_signal(number)
        if await ends(process, seconds):
            return
    process.kill()
    await ends(process, HARD_STOP_SECONDS)


async def stop_leftovers(cluster: Path) -> None:
    """Stop every process of a cluster that has no living owner: a whole server, or what a killed postmaster left."""
    postmaster = recorded_pid(cluster)
    if postmaster in servers(cluster):
        _signal([postmaster], signal.SIGINT)
        if await _holds(lambda: not servers(cluster), FAST_STOP_SECONDS):
            return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        _signal(servers(cluster), number)
        if await _holds(lambda: not servers(cluster), HARD_STOP_SECONDS):
            return
    pids = ", ".join(str(pid) for pid in servers(cluster))
    raise EmbeddedPostgresError(f"A PostgreSQL of an earlier run over {cluster} does not stop: end process {pids}.")


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def recorded_pid(cluster: Path) -> int | None:
    """Return the postmaster's process id as the cluster's own file has it."""
    try:
        return int((cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def servers(cluster: Path) -> list[int]:
    """List the postmaster and the backends that run over this cluster, whatever started them."""
    if not cluster.exists():
        return []
    name = cluster_name(cluster)
    return [pid for pid, command in postgres_processes().items() if name in command]


def cluster_name(cluster: Path) -> str:
    """Name what stands in every command line of this cluster's processes, even when the folder is renamed."""
    told = cluster.stat()
    return f"laurels-{hashlib.sha256(f'{told.st_dev}:{told.st_ino}'.encode()).hexdigest()[:16]}"


def postgres_processes() -> dict[int, str]:
    """Process id → command line of every PostgreSQL process, as PostgreSQL itself titles them."""
    commands = _commands_in_proc() if sys.platform == "linux" else commands_by_ps()
    return {pid: command for pid, command in commands if re.match(r"(\S*/)?postgres(:|\s)", command)}


def _commands_in_proc() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # A process may end while we look.
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(entry.name), words.decode(errors="replace")


def commands_by_ps() -> Iterator[tuple[int, str]]:
    """Process id and command line of every process, where there is no /proc."""
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, check=True, text=True)  # noqa: S607
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.strip()
