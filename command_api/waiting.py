"""What waits to be committed, by client, so that a client who asks for much waits for itself and not others for it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

ARRAYS_AT_ONCE: Final = 8
"""Bulk requests of one client whose whole bodies are in memory at the same time; more wait before they are read."""
ARRAYS_IN_ALL: Final = 64
"""The same of all clients: at most a gigabyte of bodies."""
TURN_SECONDS: Final = 60.0
"""How long a bulk request waits until its client's others let it in."""

Item = TypeVar("Item")


class Overloaded(Exception):
    """The client has too much waiting already."""


class FairQueue(Generic[Item]):
    """Takes from one client after the other, each client's items in their order.

    A full queue refuses those who have an equal share of it; who has less may still add to it.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._size = 0
        self._by_client: dict[str, deque[Item]] = {}

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Item]:
        return (item for own in self._by_client.values() for item in own)

    def put(self, client: str, item: Item) -> None:
        """Add an item to those of its client. Raises Overloaded."""
        own = self._by_client.get(client)
        if own is None:
            own = self._by_client[client] = deque()
        elif self._limit is not None and self._size >= self._limit and len(own) >= self._limit / len(self._by_client):
            raise Overloaded
        own.append(item)
        self._size += 1

    def take(self) -> Item:
        """Remove the first item of the client whose turn it is, who then comes after all others."""
        client = next(iter(self._by_client))
        own = self._by_client.pop(client)
        item = own.popleft()
        if own:
            self._by_client[client] = own
        self._size -= 1
        return item


class Turns:
    """Lets in a few of each client's bulk requests at a time."""

    def __init__(self) -> None:
        self._by_client: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._all = asyncio.Semaphore(ARRAYS_IN_ALL)

    @contextlib.asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait until the client may have one more at work. Raises Overloaded after TURN_SECONDS."""
        # Kept for as long as a request of the client has it or waits for it.
        semaphore = self._by_client.setdefault(client, asyncio.Semaphore(ARRAYS_AT_ONCE))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await held.enter_async_context(semaphore)
                    await held.enter_async_context(self._all)
            except TimeoutError:
                raise Overloaded from None
            yield
