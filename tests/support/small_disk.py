"""A small file system of its own, for tests that fill it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of that size on an empty folder; skip where this user may not."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder.mkdir()
    folder.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # What the test could not stop may still hold it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@contextmanager
def filled(folder: Path, *, but: int = 0) -> Iterator[None]:
    """Take all of the free space, but so many bytes, for as long as the block runs."""
    path = folder / "taken"
    try:
        with path.open("wb") as file:
            while shutil.disk_usage(folder).free > but:
                file.write(bytes(min(MEGABYTE, max(4096, shutil.disk_usage(folder).free - but))))
                file.flush()
        yield
    finally:
        path.unlink()
