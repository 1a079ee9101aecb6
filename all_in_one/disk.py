"""Keeps a full disk from ending PostgreSQL: while too little is free, the database is read-only.

PostgreSQL answers a table that cannot grow with an error, but gives up altogether where its WAL cannot.
"""

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path
from typing import Final

from shared.runtime.database import FAILURES, connect

logger = logging.getLogger(__name__)

RESERVE: Final = 64 * 1024 * 1024
"""Bytes that stay free: some segments of WAL, and what is written between two looks."""
BALLAST: Final = 1024 * 1024
"""Bytes of a file that makes room for the switch."""
ENOUGH: Final = RESERVE * 5 // 4
"""Bytes free from which on the database may be written again."""
POLL_SECONDS: Final = 0.25


class Disk:
    """The disk that holds a data folder, and the embedded database on it. Run `run()` as a task."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._ballast = folder / "disk-reserve"
        self._read_only = False

    async def open(self) -> None:
        """Make the database writable, whatever an earlier run has left. Raises one of FAILURES."""
        await self._switch(read_only=False)

    async def run(self) -> None:
        """Switch as the free space changes, until cancelled."""
        while True:
            try:
                free = self._free()
                if free < RESERVE if not self._read_only else free >= ENOUGH:
                    await self._try(read_only=not self._read_only)
            except OSError as error:
                logger.warning("the free space is not known: %s", error)
            await asyncio.sleep(POLL_SECONDS)

    async def check(self) -> str | None:
        """Say what is missing, None if there is room."""
        free = self._free()
        if not self._read_only and free >= RESERVE:
            return None
        needed = ENOUGH if self._read_only else RESERVE
        return f"{free >> 20} MB are free in {self._folder.resolve()}, and commands need {needed >> 20}"

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free

    async def _try(self, *, read_only: bool) -> None:
        try:
            await self._switch(read_only=read_only)
        except FAILURES as error:
            logger.warning("the database was not made %s: %s", "read-only" if read_only else "writable", error)
            return
        if read_only:
            logger.error("the disk is full: commands are refused until there is room (%s)", await self.check())
        else:
            logger.warning("there is room on the disk again: commands are taken")

    async def _switch(self, *, read_only: bool) -> None:
        if read_only:
            # Where somebody else has taken the very last byte, the setting itself would find no room.
            self._ballast.unlink(missing_ok=True)
        connection = await connect(self._url)
        try:
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if read_only else 'off'}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            connection.terminate()
        self._read_only = read_only
        if not read_only:
            with contextlib.suppress(OSError):
                self._ballast.write_bytes(bytes(BALLAST))
