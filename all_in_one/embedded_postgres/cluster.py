"""PostgreSQL's own files: made by one rename, and tidied up after a crash."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from all_in_one.embedded_postgres.account import Account, as_seen_by, give
from all_in_one.embedded_postgres.binaries import Binaries
from all_in_one.embedded_postgres.data_folder import remove_sockets, write_private
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError, refusal
from all_in_one.embedded_postgres.processes import postgres_processes, recorded_pid, spawn, succeeds

FIRST_MAJOR_WITH_BUILTIN_LOCALE = 17
INITDB_SECONDS = 120.0
USER = "laurels"


def major_of(cluster: Path) -> int | None:
    """Read the major version that made the cluster; None when there is no cluster yet."""
    if not cluster.exists() or not any(cluster.iterdir()):
        return None
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        raise EmbeddedPostgresError(
            f"The folder {cluster} holds something that is no PostgreSQL data: move it away, or restore a backup."
        ) from None


async def make(folder: Path, binaries: Binaries, account: Account | None, log: Path) -> None:
    """Make the cluster and its password in the data folder."""
    # Only the last step, a rename, makes a cluster: if the others are interrupted, the next start makes another.
    staging = _empty_staging_folder(folder, account)
    try:
        password = secrets.token_urlsafe(32)
        write_private(staging / "password", password)
        give(staging / "password", account)
        with as_seen_by(account, staging) as (seen, descriptors):
            options = [f"--pgdata={seen}/data", f"--pwfile={seen}/password", *_initdb_options(binaries.major)]
            process = spawn([str(binaries.folder / "initdb"), *options], account, log, descriptors)
        if not await succeeds(process, INITDB_SECONDS):
            raise refusal("PostgreSQL's data could not be made", log)
        write_private(folder / "postgres-password", password)
        (staging / "data").rename(folder / "cluster")
        _sync_folder(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _empty_staging_folder(folder: Path, account: Account | None) -> Path:
    for abandoned in folder.glob("cluster-new-*"):
        # An initdb whose owner was killed may still write there; the start after this one sweeps again.
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix="cluster-new-", dir=folder))
    give(staging, account)
    return staging


def _initdb_options(major: int) -> list[str]:
    # Some systems know no C.UTF-8; since version 17 PostgreSQL brings its own, with the same order.
    builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    locale = builtin if major >= FIRST_MAJOR_WITH_BUILTIN_LOCALE else ["--locale=C.UTF-8"]
    fixed = ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions"]
    return [f"--username={USER}", *fixed, *locale]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare(cluster: Path, account: Account | None) -> None:
    """Undo what a crash, or a backup restored by root, has left in a cluster that no process uses."""
    if account is not None and cluster.stat().st_uid == 0:
        for folder, _, files in os.walk(cluster):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                give(path, account)
    remove_sockets(cluster)
    _disown_stale_pid(cluster)


def _disown_stale_pid(cluster: Path) -> None:
    """Keep PostgreSQL from taking the process that has its old process id today for a running server.

    It takes a file that names its own parent for stale, and still looks whether the old shared memory is in use.
    """
    path = cluster / "postmaster.pid"
    recorded = recorded_pid(cluster)
    if recorded is None:
        # A crash may leave the file empty, which PostgreSQL refuses.
        path.unlink(missing_ok=True)
        return
    command = postgres_processes().get(recorded)
    if command is not None and "laurels-" not in command:
        # A server that somebody else runs here is for PostgreSQL itself to refuse.
        return
    _, _, rest = path.read_text(encoding="utf-8").partition("\n")
    path.write_text(f"{os.getpid()}\n{rest}", encoding="utf-8")
