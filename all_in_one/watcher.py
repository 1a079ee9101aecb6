"""Ends an embedded PostgreSQL whose owner has died, however it died."""

import os
import subprocess
from pathlib import Path
from typing import Final

# A shell, since every system has one, and it is small. Its `read` ends when the kernel closes the owner's end of the
# pipe, however the owner ended. That the process is still the server is told by the server's own file, which may not be
# there right after a launch. First a fast stop, after some seconds an immediate one.
SCRIPT: Final = """
read -r _
for signal in INT INT INT INT INT QUIT QUIT QUIT; do
    kill -0 "$1" 2>/dev/null || exit 0
    { read -r pid < "$2"; } 2>/dev/null && [ "$pid" = "$1" ] && kill -"$signal" "$1"
    sleep 1
done
"""


class Watcher:
    """A child that waits for this process to end, and then stops the PostgreSQL with this process id.

    `pid_file` is the server's `postmaster.pid`.
    """

    def __init__(self, pid: int, pid_file: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            ["/bin/sh", "-c", SCRIPT, "laurels-watcher", str(pid), str(pid_file)],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Neither the terminal's Ctrl-C nor a signal to the owner's whole group ends it.
            start_new_session=True,
        )

    def end(self) -> None:
        """Stop watching; repeating it does nothing."""
        self._process.kill()
        self._process.communicate()
