"""The data folder: its lock, its private files, the server's socket and its log."""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from all_in_one.embedded_postgres.account import Account, give
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
LONGEST_SOCKET_PATH = 100
"""Linux allows 107 bytes, macOS 103."""


def take_lock(folder: Path, held: int | None) -> int:
    """Own the folder until the returned descriptor is closed or this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    # Python's descriptors are not inherited, so a postgres that outlives us does not keep the lock.
    descriptor = os.open(folder / "laurels.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = "this process" if held is not None else f"process {os.read(descriptor, 20).decode() or 'unknown'}"
        os.close(descriptor)
        raise EmbeddedPostgresError(
            f"The data folder {folder} is in use by {owner}: stop that one, or choose another LAURELS_DATA_DIR."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 at one stroke."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def password(folder: Path) -> str:
    """Read the superuser's password."""
    path = folder / "postgres-password"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EmbeddedPostgresError(f"The password file {path} is missing: restore it from a backup.") from None


def rotate(log: Path) -> None:
    """Keep the log of the start before."""
    with suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))


def make_socket_folder(folder: Path, cluster: Path, account: Account | None) -> Path:
    """Take the cluster itself where its path is short enough for a socket, else a private temporary folder."""
    sockets = cluster if _fits(cluster) else _temporary_folder(account)
    write_private(folder / "socket-folder", str(sockets))
    return sockets


def _temporary_folder(account: Account | None) -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp is safe there)
        folder = Path(tempfile.mkdtemp(prefix="laurels-", dir=parent))
        if _fits(folder):
            give(folder, account)
            return folder
        folder.rmdir()
    raise EmbeddedPostgresError(
        "No folder for temporary files has a path short enough for a socket: set TMPDIR to a shorter one."
    )


def _fits(folder: Path) -> bool:
    # A comma would separate hosts in a connection URL.
    return len(os.fsencode(folder / f"{SOCKET}.lock")) <= LONGEST_SOCKET_PATH and "," not in str(folder)


def forget_socket_folder(folder: Path) -> None:
    """Remove what an earlier start has left of its socket."""
    record = folder / "socket-folder"
    if not record.exists():
        return
    sockets = Path(record.read_text(encoding="utf-8"))
    record.unlink()
    if sockets.name.startswith("laurels-"):
        with suppress(OSError):
            remove_sockets(sockets)
            sockets.rmdir()


def remove_sockets(folder: Path) -> None:
    """Remove a socket that no server listens on."""
    for name in (SOCKET, f"{SOCKET}.lock"):
        (folder / name).unlink(missing_ok=True)
