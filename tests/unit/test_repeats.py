"""What is said again and again is logged ever less often, and nothing new is held back."""

import logging

from shared.runtime.repeats import FORGET_SECONDS, MOST_SECONDS, Repeats


def record(text: str, at: float, *, failed: bool = False) -> logging.LogRecord:
    made = logging.LogRecord("laurels", logging.ERROR, "file.py", 1, text, None, None)
    made.created = at
    if failed:
        error = ValueError()
        made.exc_info = (type(error), error, None)
    return made


def test_a_message_comes_ever_less_often() -> None:
    """Ten a second for an hour are some tens of lines, and each says how many were held back."""
    repeats = Repeats()
    records = [record("no broker", n / 10) for n in range(36_000)]

    passed = [r for r in records if repeats.filter(r)]

    assert 10 < len(passed) < 30
    assert "no broker" == passed[0].getMessage()
    assert "no broker (9 more meanwhile)" == passed[1].getMessage()
    assert passed[-1].created > 3_600 - 2 * MOST_SECONDS


def test_what_is_new_passes() -> None:
    """Other words are another message; so is the same after it has been away, and whatever has a traceback."""
    repeats = Repeats()

    assert [True, True] == [repeats.filter(record(f"partition {n}", 0.0)) for n in range(2)]
    assert [True, False] == [repeats.filter(record("again", at)) for at in (0.0, 0.5)]
    assert repeats.filter(record("again", FORGET_SECONDS + 1))
    assert [True, True] == [repeats.filter(record("a bug", 0.0, failed=True)) for _ in range(2)]


def test_few_messages_are_remembered() -> None:
    """Messages that all differ take no more memory than the latest of them."""
    repeats = Repeats()

    assert all(repeats.filter(record(f"message {n}", 0.0)) for n in range(5_000))
    assert repeats.filter(record("message 0", 0.1))
