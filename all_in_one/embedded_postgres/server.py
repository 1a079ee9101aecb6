"""One server over one data folder: started, watched and stopped, or found where another process runs it."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg

from all_in_one.embedded_postgres import cluster as files
from all_in_one.embedded_postgres import data_folder
from all_in_one.embedded_postgres.account import Account, account_for, as_seen_by
from all_in_one.embedded_postgres.binaries import Binaries, choose, find_binaries, reachable
from all_in_one.embedded_postgres.data_folder import PORT, SOCKET
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError, disk_full, reason_in, refusal, sentences
from all_in_one.embedded_postgres.processes import POLL_SECONDS, cluster_name, end, ends, spawn, stop_leftovers
from all_in_one.embedded_postgres.watcher import Watcher

DATABASE = "laurels"
START_SECONDS = 120.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    # Not compressed: all that the wheel's build has is pglz, which takes longer than the rest of an append.
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the server: `host` is the folder of its Unix socket."""

    host: str
    password: str = field(repr=False)
    port: int = PORT
    user: str = files.USER
    database: str = DATABASE

    @property
    def url(self) -> str:
        """A `postgresql://` DSN, password included, that asyncpg and libpq accept."""
        where = urlencode({"host": self.host, "port": self.port})
        return f"postgresql://{quote(self.user)}:{quote(self.password, safe='')}@/{quote(self.database)}?{where}"


class EmbeddedPostgres:
    """One PostgreSQL over one data folder; `start` and `stop` may be repeated.

    `settings` are PostgreSQL settings by name, over our defaults. `bin_dirs` are folders with `initdb` and `postgres`,
    in the order of preference (default: `find_binaries()`).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        bin_dirs: Sequence[Path] | None = None,
    ) -> None:
        """Remember the arguments; nothing is touched before `start`."""
        self._folder = data_dir.absolute()
        self._cluster = self._folder / "cluster"
        self._log = self._folder / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._bin_dirs = bin_dirs
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: Watcher | None = None
        self._stopping = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it is ours to watch."""
        return self._process.pid if self._process else None

    async def start(self) -> Connection:
        """Make the cluster if there is none, start PostgreSQL and return once it accepts connections.

        Raises EmbeddedPostgresError, and leaves nothing running, when it cannot be had.
        """
        with sentences(self._folder):
            self._lock = data_folder.take_lock(self._folder, self._lock)
            try:
                return await self._start()
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Stop PostgreSQL within about ten seconds and give the data folder back; repeating it does nothing."""
        async with self._stopping:
            if self._lock is None:
                return
            process, self._process = self._process, None
            if process is not None:
                await end(process)
            if self._watcher is not None:
                self._watcher.end()
            try:
                with sentences(self._folder):
                    await stop_leftovers(self._cluster)
                    data_folder.forget_socket_folder(self._folder)
            finally:
                os.close(self._lock)
                self._lock = None

    async def wait_for_death(self) -> str:
        """Return, when PostgreSQL has died underneath us, the sentence that says so."""
        process = self._process
        if process is None:
            return "PostgreSQL is not running."
        await ends(process)
        if process is not self._process:
            return "PostgreSQL was stopped."
        manner = _manner_of_death(process.returncode, self._log)
        return f"PostgreSQL (process {process.pid}) {manner} (log: {self._log})."

    async def _start(self) -> Connection:
        await stop_leftovers(self._cluster)
        data_folder.forget_socket_folder(self._folder)
        data_folder.rotate(self._log)
        major = files.major_of(self._cluster)
        account = account_for(self._cluster)
        binaries = reachable(choose(self._bin_dirs or find_binaries(), major, self._cluster), account)
        if major is None:
            await files.make(self._folder, binaries, account, self._log)
        files.prepare(self._cluster, account)
        host = data_folder.make_socket_folder(self._folder, self._cluster, account)
        connection = Connection(str(host), data_folder.password(self._folder))
        self._process = self._launch(binaries, account, host)
        self._watcher = Watcher(self._process.pid, self._cluster / "postmaster.pid")
        await self._wait_until_ready(self._process, connection)
        return connection

    def _launch(self, binaries: Binaries, account: Account | None, host: Path) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            cluster, cluster_fd = stack.enter_context(as_seen_by(account, self._cluster))
            sockets, sockets_fd = stack.enter_context(as_seen_by(account, host))
            settings = {
                **self._settings,
                "cluster_name": cluster_name(self._cluster),
                "port": str(PORT),
                "unix_socket_directories": '"{}"'.format(sockets.replace('"', '""')),
                "unix_socket_permissions": "0700",
                "logging_collector": "off",
            }
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            command = [str(binaries.folder / "postgres"), "-D", cluster, *options]
            return spawn(command, account, self._log, (*cluster_fd, *sockets_fd))

    async def _wait_until_ready(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise refusal("PostgreSQL did not start", self._log)
            try:
                return await _create_database(connection)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
                await asyncio.sleep(POLL_SECONDS)
            except asyncpg.InvalidPasswordError as error:
                path = self._folder / "postgres-password"
                raise EmbeddedPostgresError(
                    f"The password in {path} is not that of {self._cluster}: restore it."
                ) from error
            except asyncpg.DiskFullError as error:
                raise EmbeddedPostgresError(disk_full(self._folder)) from error
            except asyncpg.PostgresError as error:
                raise EmbeddedPostgresError(f"PostgreSQL started but refused its first command: {error}.") from error
        raise refusal(f"PostgreSQL accepted no connection within {START_SECONDS:.0f} s", self._log)


def find_running(data_dir: Path) -> Connection | None:
    """Find the server that some process runs over this data folder; None when none answers.

    A server whose owner was killed may still answer for some seconds. Raises EmbeddedPostgresError when the folder may
    not be read.
    """
    folder = data_dir.absolute()
    with sentences(folder):
        try:
            host = (folder / "socket-folder").read_text(encoding="utf-8")
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{host}/{SOCKET}")
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        return Connection(host, data_folder.password(folder))


async def _create_database(connection: Connection) -> None:
    """Create our database if it is not there; raises what asyncpg raises while the server is not ready."""
    session = await asyncpg.connect(
        host=connection.host,
        port=connection.port,
        user=connection.user,
        password=connection.password,
        database="postgres",
        timeout=5,
    )
    try:
        if not await session.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", connection.database):
            await session.execute(f'CREATE DATABASE "{connection.database}"')
    finally:
        await session.close()


def _manner_of_death(status: int, log: Path) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"gave up: {reason_in(log)}" if status else "was stopped by somebody else"
