"""Tasks that run beside a service for as long as it does."""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

_ended: "weakref.WeakSet[asyncio.Task[None]]" = weakref.WeakSet()
"""Tasks whose owner has ended them."""


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run the work until the context ends.

    Work with work of its own beside it takes another `background`, not a TaskGroup, which passes on only the first
    cancellation.
    """
    task = begin(work)
    try:
        yield task
    finally:
        await end(task)


def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start the work as a task. Work that fails, or is cancelled by another than `end`, is a bug and logged as one."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    return task


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended, even if the caller is cancelled meanwhile."""
    _ended.add(task)
    interrupted = False
    while not task.done():
        # A library may swallow a cancellation, as a rollback that fails does, so it is repeated.
        task.cancel()
        try:
            await asyncio.wait([task], timeout=1)
        except asyncio.CancelledError:
            interrupted = True
    if interrupted:
        raise asyncio.CancelledError


async def keep_running(work: Callable[[], Coroutine[Any, Any, None]], pause: Callable[[], Awaitable[None]]) -> None:
    """Run work that is never to end; when it does, however that came about, log it and begin again after a pause."""
    while True:
        async with background(work()) as task:
            # Only waited for, so that a cancellation which strays out of the work ends nothing else.
            await asyncio.wait([task])
        if not task.cancelled() and not task.exception():
            logger.error("%s has ended", task.get_coro())
        await pause()


def _report(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        if task not in _ended:
            logger.error("%s was cancelled by none of its owners", task.get_coro())
    elif error := task.exception():
        logger.error("%s failed", task.get_coro(), exc_info=error)


async def wait_for(event: asyncio.Event, timeout: float | None) -> bool:  # noqa: ASYNC109 - says whether, raises nothing
    """Wait until the event is set, at most `timeout` seconds (None: for ever); return whether it is set."""
    with contextlib.suppress(TimeoutError):
        # Not asyncio.wait_for: until Python 3.12 it can swallow a cancellation that comes as the event is set.
        async with asyncio.timeout(timeout):
            return await event.wait()
    return False
