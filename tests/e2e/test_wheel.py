"""The package installs: a wheel has all that `laurels up` needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, free_port, start
from tests.support.tour import BASH, CURL, readme, run, tour

INSTALL_SECONDS = 600.0


def pip(*arguments: str, python: str = sys.executable) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)


@pytest.mark.skipif(BASH is None or CURL is None, reason="the tour needs bash and curl")
def test_a_wheel_serves_the_tour_from_any_folder(tmp_path: Path) -> None:
    """Installed into an empty environment, `laurels up` brings up everything, and the README's tour runs."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("laurels-*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=INSTALL_SECONDS)
    python = str(venv / "bin" / "python")
    pip("install", "--require-hashes", "--no-deps", "-r", str(ROOT / "requirements.lock"), python=python)
    pip("install", "--no-deps", str(wheel), python=python)

    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = [str(venv / "bin" / "laurels"), "up"]
    service = start("up", command, environment={}, folder=folder, port=free_port(), working_directory=folder)
    try:
        service.wait_until_ready()
        steps = list(tour(readme()))
        printed = run(steps, service.url, folder)
        assert [] == [(step, found) for step, found in zip(steps, printed, strict=True) if not step.fits(found)]
    finally:
        service.stop()
