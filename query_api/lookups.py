"""Batched lookups: lookups of one kind that wait at the same time are one statement."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from query_api.queries import response
from shared.runtime.database import Record

EACH: Final = "unnest({arrays}) WITH ORDINALITY AS asked ({names}, number)"
BATCHES_AT_ONCE: Final = 2
"""Batches of one lookup that are under way: the database answers one while this process works on the other."""
BATCH_LIMIT: Final = 32
"""Lookups in one batch at the most, which bounds how long each waits for the others."""

_PARAMETER = re.compile(r"\$(\d+)")

Ask = Callable[[str, Sequence[Any]], Awaitable[Sequence[Record]]]
"""Runs a statement with its arguments; raises a database error."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question that many clients ask at the same time, each with arguments of its own.

    `types` are the PostgreSQL types of those arguments, which are `$1` and so on; what follows is the same for all.
    `limit` is how many one batch has at the most: fewer of what takes the database long, so that it has answered some
    while this process still passes on others.
    """

    query: str
    types: tuple[str, ...]
    limit: int = BATCH_LIMIT

    @property
    def text(self) -> str:
        """The statement that takes an array of each argument."""
        arrays = ", ".join(f"${number}::{name}[]" for number, name in enumerate(self.types, 1))
        names = ", ".join(f"argument_{number}" for number in range(1, len(self.types) + 1))
        asked = EACH.format(arrays=arrays, names=names)
        return response(_PARAMETER.sub(self._argument, self.query), asked)

    def _argument(self, parameter: re.Match[str]) -> str:
        number = int(parameter[1])
        return f"asked.argument_{number}" if number <= len(self.types) else parameter[0]


@dataclass(slots=True)
class _Queue:
    """The lookups of one kind that wait, what they share, and how many batches of them are under way."""

    text: str
    limit: int
    shared: Sequence[Any] = ()
    waiting: list[tuple[Sequence[Any], asyncio.Future[Sequence[Record]]]] = field(default_factory=list)
    under_way: int = 0


class BatchedLookups:
    """Batches lookups, as a DataLoader does; `ask` runs the statement of a batch."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._queues: dict[Lookup, _Queue] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def look_up(self, lookup: Lookup, arguments: Sequence[Any], shared: Sequence[Any]) -> Sequence[Record]:
        """Return the rows for these arguments, in the shape of `queries/response.sql`.

        Raises a database error, be it for another lookup of the same batch. `shared` is what is the same for all
        lookups at one time; a batch takes that of the latest.
        """
        queue = self._queues.get(lookup)
        if queue is None:
            queue = self._queues[lookup] = _Queue(lookup.text, lookup.limit)
        future: asyncio.Future[Sequence[Record]] = asyncio.get_running_loop().create_future()
        queue.waiting.append((arguments, future))
        queue.shared = shared
        if queue.under_way < BATCHES_AT_ONCE:
            queue.under_way += 1
            task = asyncio.create_task(self._serve(queue))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        return await future

    async def _serve(self, queue: _Queue) -> None:
        try:
            while queue.waiting:
                await self._run_batch(queue)
        finally:
            queue.under_way -= 1

    async def _run_batch(self, queue: _Queue) -> None:
        batch, queue.waiting = queue.waiting[: queue.limit], queue.waiting[queue.limit :]
        columns = zip(*(arguments for arguments, _ in batch), strict=True)
        try:
            rows = await self._ask(queue.text, [*map(list, columns), *queue.shared])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        # LATERAL keeps the lookups outermost, so that the rows of each come one after another.
        for number, own in groupby(rows, itemgetter("number")):
            future = batch[number - 1][1]
            if not future.done():
                future.set_result(list(own))
