"""The README keeps its word: its tour runs as it is written, and the example of settings changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from projector.generations.rebuild import rebuildable
from shared.runtime.settings import Settings
from tests.support.deployments import Laurels
from tests.support.processes import ROOT
from tests.support.tour import BASH, CURL, Step, readme, run, tour


@pytest.mark.skipif(BASH is None or CURL is None, reason="the tour needs bash and curl")
def test_the_tour_prints_what_the_readme_shows(fresh_laurels: Callable[..., Laurels], tmp_path: Path) -> None:
    """Whoever types the tour into a shell sees what the README shows, in both deployments."""
    steps = list(tour(readme()))
    printed = run(steps, fresh_laurels().base_url, tmp_path)
    wrong = [(step, found) for step, found in zip(steps, printed, strict=True) if not step.fits(found)]
    assert wrong == []
    assert len(steps) > 10


def test_the_tour_compares_what_it_prints() -> None:
    """The dots stand for any text, and everything else for itself."""
    step = Step("true", '{"award_id":14,…}')
    assert step.fits('{"award_id":14,"user_id":2}')
    assert not step.fits('{"award_id":15,"user_id":2}')
    assert not step.fits('{"award_id":14,"user_id":2} and more')


def test_the_readme_names_every_projection() -> None:
    """Whoever rebuilds one of them finds its name."""
    assert [] == [name for name in rebuildable() if f"`{name}`" not in readme()]


def test_the_example_file_uncommented_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking the # off every line of .env.example leaves Laurels as it is without the file."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LAURELS_{name.upper()}", raising=False)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(example.replace("#LAURELS_", "LAURELS_"), encoding="utf-8")
    assert Settings(_env_file=None) == Settings(_env_file=tmp_path / ".env")
