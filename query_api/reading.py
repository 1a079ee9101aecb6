"""How every question is asked: in one snapshot, so that rows, generation and Read-Position belong together."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import asyncpg

from query_api.queries import response
from shared.event_store.log import read_position
from shared.http.problems import Problem, unavailable
from shared.read_models.generations import schema_name, served_generation
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.database import Connection, OwnConnection, Pool, Record, Role, open_pool

logger = logging.getLogger(__name__)

ATTEMPTS = 3
DROPPED = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.DeadlockDetectedError)
"""The generation was dropped, or is being dropped, after another had taken its place."""

RECOMPUTATIONS = 2
"""How many may run at a time in one process, so that they leave connections and processors to other reads."""
RECOMPUTE_SECONDS = 10

ONCE = "(SELECT 1 AS number) AS asked"
EACH = "unnest({arrays}) WITH ORDINALITY AS asked ({names}, number)"
# What a session that reads a generation is set to; for one transaction, if $2.
FACE = "SELECT set_config('search_path', $1 || ', public', $2), set_config('laurels.generation', $3, $2)"

GROUPS_AT_ONCE = 2
"""Groups of one look-up that are under way: the database answers one while this process works on the other."""
GROUP_LIMIT = 32
"""Look-ups in one group at the most, so that nobody waits for more than so many others."""

SESSION = {
    # Every question but those about the past looks up ends of indexes, however much there is: to plan that each time
    # takes longer than to answer it, and a plan for all must not scan a table because it is small today.
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}

# For the past: a plan for just these moments, and memory in which the users of a large instance can be counted.
LIMITED = """
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '64MB', true), set_config('enable_hashjoin', 'on', true),
       set_config('enable_mergejoin', 'on', true), set_config('enable_seqscan', 'on', true)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of an answer, and the position up to which they are complete."""

    rows: Sequence[Record]
    position: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question that many ask at the same time, each with arguments of their own, so that one statement answers all.

    `types` are the PostgreSQL types of those arguments, which are `$1` and so on; what follows is the same for all.
    `limit` is how many one group has at the most: fewer of what takes the database long, so that it has answered some
    while this process still passes on others.
    """

    query: str
    types: tuple[str, ...]
    limit: int = GROUP_LIMIT

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


@cache
def _asked_once(query: str) -> str:
    return response(query, ONCE)


_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(slots=True)
class _Group:
    """The look-ups of one kind that wait, what they share, and how many groups of them are under way."""

    text: str
    limit: int
    shared: Sequence[Any] = ()
    waiting: list[tuple[Sequence[Any], asyncio.Future[Reading]]] = field(default_factory=list)
    under_way: int = 0


class Session(OwnConnection):
    """A connection of the pool, which remembers the generation that it reads."""

    generation = 0

    async def face(self, generation: int) -> None:
        """Read this generation from now on."""
        if self.generation != generation:
            await self.execute(FACE, schema_name(generation), False, str(generation))  # noqa: FBT003 - an argument of SQL
            self.generation = generation


@contextlib.asynccontextmanager
async def open_reading_pool(url: str, *, size: int) -> AsyncIterator[Pool]:
    """Open a pool of `Session`."""
    async with open_pool(url, Role.QUERY, size=size, settings=SESSION, connection_class=Session) as pool:
        yield pool


class Reader:
    """Asks the generation that is served, over a pool of `Session`."""

    def __init__(
        self, pool: Pool, watermark: VisibilityWatermark, recompute_seconds: float = RECOMPUTE_SECONDS
    ) -> None:
        self.pool = pool
        self._watermark = watermark
        self._generation = 0
        self._groups: dict[Lookup, _Group] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._recompute_seconds = recompute_seconds
        self._turns = asyncio.Semaphore(RECOMPUTATIONS)

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer of the generation that is served as it is given. Raises a database error."""
        return self._reading(await self._ask(_asked_once(query), arguments))

    async def look_up(self, lookup: Lookup, *arguments: Any, shared: Sequence[Any] = ()) -> Reading:  # noqa: ANN401 - the same
        """Return the answer to a question that is put together with those that wait meanwhile.

        Raises a database error, be it for another's question in the same group.
        `shared` is what is the same for all who ask at one time, as the latest of them has it.
        """
        group = self._groups.get(lookup)
        if group is None:
            group = self._groups[lookup] = _Group(lookup.text, lookup.limit)
        future: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        group.waiting.append((arguments, future))
        group.shared = shared
        if group.under_way < GROUPS_AT_ONCE:
            group.under_way += 1
            task = asyncio.create_task(self._serve(group))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        return await future

    async def _serve(self, group: _Group) -> None:
        try:
            while group.waiting:
                await self._answer(group)
        finally:
            group.under_way -= 1

    async def _answer(self, group: _Group) -> None:
        asked, group.waiting = group.waiting[: group.limit], group.waiting[group.limit :]
        columns = zip(*(arguments for arguments, _ in asked), strict=True)
        try:
            rows = await self._ask(group.text, [*map(list, columns), *group.shared])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        # LATERAL keeps the askers outermost, so that the rows of each come one after another.
        for number, own in groupby(rows, itemgetter("number")):
            future = asked[number - 1][1]
            if not future.done():
                future.set_result(self._reading(list(own)))

    async def _ask(self, text: str, arguments: Sequence[Any]) -> Sequence[Record]:
        async with self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                if not self._generation:
                    self._switch(await served_generation(connection))
                # Other reads may learn of another generation while this one waits, so it keeps to its own.
                generation = self._generation
                try:
                    # The pool hands out proxies of Session, whose type asyncpg does not know.
                    await cast("Session", connection).face(generation)
                    rows = await connection.fetch(text, *arguments)
                except DROPPED:
                    self._switch(await served_generation(connection))
                    continue
                if rows[0]["served"] == generation:
                    return rows
                self._switch(rows[0]["served"])
        raise asyncpg.InterfaceError(_UNSTEADY)

    def _reading(self, rows: Sequence[Record]) -> Reading:
        reading = _found(rows)
        self._watermark.raise_to(reading.position)
        return reading

    async def recompute(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer to a question that looks at many rows.

        Raises a 503 Problem when it is not there in time, waiting for its turn included, or a database error.
        """
        ends = asyncio.get_running_loop().time() + self._recompute_seconds
        async with self._turn(ends), self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                try:
                    reading = await _recomputed(connection, ends, query, arguments)
                except DROPPED:
                    continue
                except asyncpg.QueryCanceledError:
                    raise self._too_large() from None
                self._watermark.raise_to(reading.position)
                return reading
        raise asyncpg.InterfaceError(_UNSTEADY)

    @contextlib.asynccontextmanager
    async def _turn(self, ends: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(ends):
                await self._turns.acquire()
        except TimeoutError:
            raise self._refused("busy", "Other answers are being recomputed at the moment. Try again later.") from None
        try:
            yield
        finally:
            self._turns.release()

    def _too_large(self) -> Problem:
        return self._refused(
            "too-large",
            f"This has to be recomputed from awards, and that took longer than {self._recompute_seconds:g} seconds. "
            "Try again when less is going on, or leave out as_of and known_at; whoever runs Laurels can raise "
            "LAURELS_RECOMPUTE_SECONDS.",
        )

    def _refused(self, code: str, detail: str) -> Problem:
        return unavailable(detail, code=code, retry_after=max(1, round(self._recompute_seconds)))

    def _switch(self, generation: int) -> None:
        self._generation = generation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Reads as Reader does, though one question after another in a transaction; what it reads is told nobody yet."""

    connection: Connection

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer of this generation. Raises a database error."""
        return _found(await self.connection.fetch(_asked_once(query), *arguments))


async def face_in_transaction(connection: Connection, generation: int) -> None:
    """Read this generation until the transaction ends."""
    await connection.execute(FACE, schema_name(generation), True, str(generation))  # noqa: FBT003 - an argument of SQL


_UNSTEADY = "the served generation changed with every attempt"


async def _recomputed(connection: Connection, ends: float, query: str, arguments: Sequence[Any]) -> Reading:
    # One snapshot, as a single statement would have; read_position() beside the query would forbid parallel plans.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        left = max(0.001, ends - asyncio.get_running_loop().time())
        await connection.execute(LIMITED, str(round(left * 1000)))
        generation = await served_generation(connection)
        position = await read_position(connection, generation)
        await face_in_transaction(connection, generation)
        rows = await connection.fetch(query, *arguments, timeout=left + 5)
    return Reading(rows, position)


def _found(rows: Sequence[Record]) -> Reading:
    return Reading([row for row in rows if row["found"]], rows[0]["read_position"])
