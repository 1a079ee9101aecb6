"""Progress is judged by positions: what has something to do and stays where it is, is stalled."""

from shared.runtime.stalls import STALL_SECONDS, Stalls


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_what_stays_where_it_is_has_stalled() -> None:
    """The seconds are those since it was first seen there with something to do."""
    clock = Clock()
    stalls: Stalls[str] = Stalls(clock=clock)

    stalls.note({"a": 1})
    clock.now = STALL_SECONDS - 1
    stalls.note({"a": 1})
    assert {} == stalls.stalled
    clock.now = STALL_SECONDS + 1

    assert {"a": STALL_SECONDS + 1} == stalls.stalled


def test_what_moves_has_not_stalled() -> None:
    """However far behind something is, one step is progress; so is a step back, as of a relay that was sent back."""
    clock = Clock()
    stalls: Stalls[str] = Stalls(clock=clock)

    for number in range(10):
        clock.now = number * (STALL_SECONDS - 1)
        stalls.note({"on": number, "back": -number})

    assert {} == stalls.stalled


def test_what_has_nothing_to_do_has_not_stalled() -> None:
    """Idle time does not count: it begins when there is something to do."""
    clock = Clock()
    stalls: Stalls[str] = Stalls(clock=clock)

    stalls.note({"a": 1})
    clock.now = 10 * STALL_SECONDS
    stalls.note({})
    stalls.note({"a": 1})

    assert {} == stalls.stalled
