"""Timestamps as people write them."""

from datetime import UTC, datetime

import pytest

from shared.domain.moments import moment

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00",
        "2026-01-31T12:00:00",
        "2026-01-31T15:00:00+03:00",
        "2026-01-31T12:00:00.000000-00:00",
    ],
)
def test_every_spelling_is_the_same_instant(text: str) -> None:
    """Offsets are honoured, and without one it is UTC."""
    assert NOON == moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T12:00",
        "2026-02-30T12:00:00Z",
        "2026-01-31T12:00:00+24:00",
        f"2026-01-31T12:00:00.{'0' * 1_000_000}Z",
        "2026-01-31T12:00:00 03:00",
        "٢٠٢٦-01-31T12:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Neither a day nor a moment beyond the calendar is taken for an instant."""
    with pytest.raises(ValueError, match="n"):
        moment(text)
