"""The sessions that read: how the database plans for them, and which generation their tables are of."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final, cast

from shared.read_models.generations import schema_name
from shared.runtime.database import OwnConnection, ReadPool, ReadSession, Role, open_pool

# For one transaction only, if $2.
USE_GENERATION: Final = (
    "SELECT set_config('search_path', $1 || ', public', $2), set_config('laurels.generation', $3, $2)"
)
SETTINGS: Final = {
    # Every question but those about the past looks up ends of indexes, however much there is: to plan that each time
    # takes longer than to answer it, and a plan for all must not scan a table because it is small today.
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}


class Session(OwnConnection):
    """A connection of the pool, which remembers the generation that it reads."""

    generation = 0

    async def use_generation(self, generation: int) -> None:
        """Read this generation from now on."""
        if self.generation != generation:
            await self.execute(USE_GENERATION, schema_name(generation), False, str(generation))  # noqa: FBT003 - an argument of SQL
            self.generation = generation


@contextlib.asynccontextmanager
async def snapshot(pool: ReadPool) -> AsyncIterator[ReadSession]:
    """Lend a session whose statements all see the database as it is at the first of them."""
    async with (
        pool.acquire() as session,
        cast("Session", session).transaction(isolation="repeatable_read", readonly=True),
    ):
        yield session


async def use_generation_in_snapshot(session: ReadSession, generation: int) -> None:
    """Read this generation until the snapshot ends."""
    await session.fetchval(USE_GENERATION, schema_name(generation), True, str(generation))  # noqa: FBT003 - an argument of SQL


@contextlib.asynccontextmanager
async def open_reading_pool(url: str, *, size: int) -> AsyncIterator[ReadPool]:
    """Open a pool of `Session`."""
    async with open_pool(url, Role.QUERY, size=size, settings=SETTINGS, connection_class=Session) as pool:
        yield pool
