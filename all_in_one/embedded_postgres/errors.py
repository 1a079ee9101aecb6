"""What keeps PostgreSQL from running, as one sentence for the operator."""

import errno
import os
import pwd
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEXT_TO_NOTHING = 1 << 20


class EmbeddedPostgresError(Exception):
    """PostgreSQL cannot be had; the message is one sentence for the operator."""


@contextmanager
def sentences(folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(_explanation(error, folder)) from error


def _explanation(error: OSError, folder: Path) -> str:
    what = error.filename or folder
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return disk_full(folder)
        case errno.EACCES | errno.EPERM:
            user = user_name(os.geteuid())
            return f"The user {user} may not use {what}: give it the permission, or choose another LAURELS_DATA_DIR."
        case errno.EROFS:
            return f"The disk that holds {what} is read-only: choose another LAURELS_DATA_DIR."
        case _:
            return f"The data folder {folder} cannot be used: {error.strerror or error} ({what})."


def disk_full(folder: Path) -> str:
    """Say what to do about a disk without room."""
    return f"The disk that holds {folder} is full: free some space there, then start again."


def user_name(uid: int) -> str:
    """Return a user's name, or what to call one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def refusal(what: str, log: Path) -> EmbeddedPostgresError:
    """Say what failed, and why according to PostgreSQL's log in the data folder."""
    # A full disk may leave another error as the last one, or no room for the log.
    text = log.read_text(encoding="utf-8", errors="replace")
    is_full = any(sign in text for sign in (os.strerror(errno.ENOSPC), "Check free disk space"))
    if is_full or shutil.disk_usage(log.parent).free < NEXT_TO_NOTHING:
        return EmbeddedPostgresError(disk_full(log.parent))
    return EmbeddedPostgresError(f"{what}: {reason_in(log)} (log: {log}).")


def reason_in(log: Path) -> str:
    """Find the last line that tells why, without its timestamp."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    # Our own attempts to connect are answered with `FATAL: the database system is starting up`.
    told = [line for line in lines if "the database system is " not in line]
    reasons = [found[1] for line in told if (found := re.search(r"\b(?:FATAL|PANIC|error):\s+(.*)", line))]
    return (reasons or told or ["it said nothing"])[-1].rstrip(".")
