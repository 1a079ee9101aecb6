"""The unprivileged user that PostgreSQL runs as when we are root, since it refuses to run as root."""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from all_in_one.embedded_postgres.errors import EmbeddedPostgresError, user_name

DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system."""

    uid: int
    gid: int
    name: str


def account_for(cluster: Path) -> Account | None:
    """Return the account to run PostgreSQL as, the cluster's owner if it has one; None where we are not root."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (told := cluster.stat()).st_uid != 0:
        return Account(told.st_uid, told.st_gid, user_name(told.st_uid))
    for name in ("postgres", "laurels", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid, name)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it: create one."
    )


def identity(account: Account | None) -> Mapping[str, Any]:
    """Return the arguments that start a child as this account."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def give(path: Path, account: Account | None) -> None:
    """Make a file or folder the account's own."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


@contextmanager
def as_seen_by(account: Account | None, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the path by which a child of this account reaches the folder, and the descriptors it must inherit.

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
