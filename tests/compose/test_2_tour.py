"""The README's tour, against the deployment as it comes up."""

from pathlib import Path

from tests.compose.project import Project
from tests.support.tour import readme, run, tour


def test_the_tour_prints_what_the_readme_shows(composed: Project, tmp_path: Path) -> None:
    """Every step prints the same as in the other deployments."""
    steps = list(tour(readme()))
    printed = run(steps, composed.url, tmp_path)
    assert [] == [(step, found) for step, found in zip(steps, printed, strict=True) if not step.fits(found)]
