"""Streams of commands through the gateway."""

import subprocess
from pathlib import Path

from tests.compose.project import Project

LINES = 20_000


def test_twenty_thousand_lines_are_answered_while_they_are_sent(composed: Project, tmp_path: Path) -> None:
    """The gateway passes on both directions at once: every line has its result, in the time of a curl."""
    line = '{"type":"award-achievement","username":"grace","achievement_id":1,"awarded_at":"2025-07-01T12:00:00Z"}\n'
    (tmp_path / "lines").write_text(line * LINES)
    command = ["curl", "-sS", "--max-time", "120", "-X", "POST", "-T", str(tmp_path / "lines")]
    kind = ["-H", "Content-Type: application/x-ndjson"]

    done = subprocess.run(
        [*command, *kind, f"{composed.api}/commands"], capture_output=True, text=True, timeout=130, check=False
    )

    assert 0 == done.returncode, done.stderr
    assert LINES == sum('"status":201' in answer for answer in done.stdout.splitlines())
