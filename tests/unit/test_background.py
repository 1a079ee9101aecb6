"""Tasks that run beside a service: however cancellations go astray, none is left behind."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shared.runtime.background import background, keep_running

SECONDS = 10


class Deaf:
    """Work that swallows its first cancellation, as a transaction does whose rollback fails."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        """Wait until the second cancellation."""
        try:
            self.begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_work_that_swallows_a_cancellation_ends() -> None:
    """It is cancelled until it hears it."""
    work = Deaf()

    async with asyncio.timeout(SECONDS), background(work.run()):
        await work.begun.wait()

    assert work.ended


async def test_work_beside_work_ends_when_all_is_cancelled_twice() -> None:
    """Whoever waits for the end of the work is cancelled again meanwhile, and still does not leave it behind."""
    work = Deaf()

    async def beside() -> None:
        async with background(work.run()):
            await asyncio.Event().wait()

    task = asyncio.create_task(beside())
    await work.begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=SECONDS)

    assert task.cancelled()
    assert work.ended


async def is_cancelled() -> None:
    """End as work does into which a library lets out a cancellation of its own."""
    raise asyncio.CancelledError


async def test_work_that_nobody_cancelled_does_not_end_unnoticed(caplog: pytest.LogCaptureFixture) -> None:
    """A cancellation that does not come from the work's owner is reported; its owner's own is not."""
    async with background(is_cancelled()) as task:
        await asyncio.wait([task])
    assert ["ERROR"] == [record.levelname for record in caplog.records]

    caplog.clear()
    async with background(Deaf().run()):
        await asyncio.sleep(0)
    assert [] == caplog.records


async def fails() -> None:
    """End with an error."""
    raise LookupError


async def ends() -> None:
    """End as if the work were done."""


@pytest.mark.parametrize("ending", [is_cancelled, fails, ends])
async def test_work_that_is_to_run_for_ever_begins_again(
    ending: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> None:
    """However it ends, that is logged each time, and it begins again after a pause; its owner still ends it."""
    paused: asyncio.Queue[None] = asyncio.Queue(maxsize=1)

    async with asyncio.timeout(SECONDS), background(keep_running(ending, lambda: paused.put(None))) as task:
        for _ in range(3):
            await paused.get()

    assert task.cancelled()
    assert {"ERROR"} == {record.levelname for record in caplog.records}
    assert 3 <= len(caplog.records) <= 5
