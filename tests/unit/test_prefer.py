"""The Prefer header, as far as the contract uses it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.prefer import LONGEST_WAIT, NOTHING, Preferences, preferences


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, NOTHING),
        ("", NOTHING),
        ("wait=3", Preferences(wait=3.0)),
        ("Wait = 3", Preferences(wait=3.0)),
        ('wait="3"', Preferences(wait=3.0)),
        ("wait=0", Preferences(wait=0.0)),
        ("wait=3, wait=5", Preferences(wait=3.0)),
        ("wait=3; strict", Preferences(wait=3.0)),
        ("RESPOND-ASYNC", Preferences(respond_async=True)),
        ("respond-async, wait=3", Preferences(respond_async=True, wait=3.0)),
        ("return=minimal , wait=3", Preferences(wait=3.0)),
    ],
)
def test_what_is_known_is_understood(header: str | None, expected: Preferences) -> None:
    """Both preferences are read in any case and any spacing, and the first of a kind counts."""
    assert expected == preferences(header)


@pytest.mark.parametrize("header", ["wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "respond-async=no", ";,;=,"])
def test_what_is_malformed_is_ignored(header: str) -> None:
    """A preference that cannot be read is as if it were not there."""
    assert NOTHING == preferences(header)


@given(st.text(max_size=40))
def test_no_header_is_an_error(header: str) -> None:
    """A preference is a wish: nothing that a client writes is refused, and no wait is longer than the longest."""
    wait = preferences(header).wait
    assert wait is None or 0 <= wait <= LONGEST_WAIT


def test_a_long_wait_is_cut() -> None:
    """Nobody waits longer than ten seconds."""
    assert Preferences(wait=10.0) == preferences("wait=86400")


@pytest.mark.parametrize(
    ("header", "applied"),
    [(None, None), ("wait=3", "wait=3"), ("wait=99", "wait=10"), ("respond-async, wait=3", "respond-async")],
)
def test_what_was_applied_is_said(header: str | None, applied: str | None) -> None:
    """Preference-Applied names the preference that was honoured."""
    assert applied == preferences(header).applied
