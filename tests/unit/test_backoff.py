"""Retry with backoff: pauses grow while work fails, and nothing but a cancellation or a bug ends it."""

import asyncio
from collections.abc import Callable

import pytest

from shared.runtime.background import end
from shared.runtime.backoff import Backoff, retry_forever

SECONDS = 10


def pauses(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_pause() for _ in range(count)]


def test_pauses_double_up_to_the_longest() -> None:
    """Each pause is between half of its bound and the bound, which doubles and then stays."""
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    for _ in range(200):
        found = pauses(Backoff(first=0.1, most=1.0), 6)
        assert all(bound / 2 <= pause <= bound for bound, pause in zip(bounds, found, strict=True)), found


def test_pauses_have_jitter() -> None:
    """Clients that failed together come back spread over half of the pause."""
    found = [pause for _ in range(500) for pause in pauses(Backoff(first=1.0), 1)]
    assert min(found) < 0.6
    assert max(found) > 0.9


def test_a_reset_begins_with_the_shortest_pause() -> None:
    """What has worked since is retried at once when it fails again."""
    backoff = Backoff(first=0.1, most=10.0)
    pauses(backoff, 20)
    backoff.reset()
    assert backoff.next_pause() <= 0.1
    assert backoff.next_pause() > 0.1 - 1e-9


class Work:
    """Work that fails or returns as it is told, and then waits for ever."""

    def __init__(self, outcomes: list[Exception | None], on_attempt: Callable[[], None] = lambda: None) -> None:
        self._outcomes, self._on_attempt = outcomes, on_attempt
        self.waits = asyncio.Event()

    async def attempt(self) -> None:
        """Do the next thing that was told."""
        self._on_attempt()
        if not self._outcomes:
            self.waits.set()
            await asyncio.Event().wait()
        if error := self._outcomes.pop(0):
            raise error


async def test_work_is_retried_however_it_ends() -> None:
    """After a failure, which is reported, and after a return; its owner still ends it while it works."""
    failure = OSError("away")
    failures: list[Exception] = []
    work = Work([failure, None, failure])
    task = asyncio.create_task(retry_forever(work.attempt, (OSError,), failures.append, Backoff(first=0.001)))
    async with asyncio.timeout(SECONDS):
        await work.waits.wait()
        await end(task)
    assert task.cancelled()
    assert [failure, failure] == failures


async def test_a_cancellation_ends_a_pause() -> None:
    """The owner does not wait until the longest pause is over."""
    failed = asyncio.Event()
    work = Work([OSError()])
    backoff = Backoff(first=1_000.0, most=1_000.0)
    task = asyncio.create_task(retry_forever(work.attempt, (OSError,), lambda _error: failed.set(), backoff))
    async with asyncio.timeout(SECONDS):
        await failed.wait()
        await end(task)
    assert task.cancelled()


async def test_the_work_resets_its_pauses() -> None:
    """Work that gets on before it fails is always retried soon, and other work ever later."""
    for resets, expected in ((True, 0.004), (False, 0.1)):
        backoff = Backoff(first=0.004, most=100.0)
        work = Work([OSError()] * 6, backoff.reset if resets else lambda: None)
        task = asyncio.create_task(retry_forever(work.attempt, (OSError,), lambda _error: None, backoff))
        async with asyncio.timeout(SECONDS):
            await work.waits.wait()
            await end(task)
        pause = backoff.next_pause()
        assert pause <= expected if resets else pause >= expected


async def test_a_bug_is_raised() -> None:
    """An error that is not known to pass by itself is not retried."""
    with pytest.raises(LookupError):
        await retry_forever(Work([LookupError()]).attempt, (OSError,), lambda _error: None)
