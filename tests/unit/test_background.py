"""Tasks that run beside a service: however cancellations go astray, none is left behind."""

import asyncio

from shared.runtime.background import background

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
