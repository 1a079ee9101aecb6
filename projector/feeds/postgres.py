"""The embedded default: the log itself feeds the projections, and no event leaves the database."""

import asyncio
import contextlib
import logging
from typing import Final

from projector.batch import Advance, Batch
from projector.runner import Runner, TakenOver
from shared.event_log import APPENDED_CHANNEL, head_position, partition_count
from shared.events.codec import SCHEMA_VERSIONS
from shared.read_models import live_generation
from shared.runtime.database import UNREACHABLE, Backoff, OwnConnection, Role, connect, listen

logger = logging.getLogger(__name__)

BATCH_LIMIT: Final = 10_000
"""Positions in one transaction at the most: enough for the full rate, and a tenth of a second of work."""
POLL_SECONDS: Final = 1.0
"""How often the log is looked at without a notification."""

# One projector works, others stand by. The lock only saves them the trouble; what fences is the epoch in `progress`.
STAND_BY: Final = "SELECT pg_advisory_lock(hashtext('laurels projector'))"

# A database that Kafka fed before may have partitions that are ahead of others: $3 has each one's position.
SOURCE: Final = """
    events
    WHERE position > $1 AND position <= $2 AND position > ($3::bigint[])[partition + 1]
      AND schema_version <= coalesce(($4::jsonb ->> type)::int, 0)
"""
COUNT: Final = """
SELECT count(*) FROM events
WHERE position > $1 AND position <= $2 AND position > ($3::bigint[])[partition + 1]
"""


class PostgresFeed:
    """Follows the log for the live generation. Run `run()` as a task; it ends when cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._poke = asyncio.Event()

    async def run(self) -> None:
        """Project for ever, reconnecting when the database was away."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(self._url, Role.PROJECTOR, APPENDED_CHANNEL, self._poke.set))
            tasks.create_task(self._keep_following())

    async def _keep_following(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._follow(backoff)
            except TakenOver:
                logger.warning("another projector took over; standing by")
            except UNREACHABLE as error:
                logger.warning("the projector lost the database: %s", error)
            await backoff.sleep()

    async def _follow(self, backoff: Backoff) -> None:
        reader = await connect(self._url, Role.PROJECTOR)
        try:
            await reader.execute(STAND_BY, timeout=None)
            runner = await Runner.open(self._url, await live_generation(reader))
            try:
                await self._project_all(reader, runner, backoff)
            finally:
                runner.close()
        finally:
            reader.terminate()

    async def _project_all(self, reader: OwnConnection, runner: Runner, backoff: Backoff) -> None:
        partitions = await partition_count(reader)
        held = await runner.take_over(list(range(partitions)))
        positions = [held[partition][0] for partition in range(partitions)]
        epochs = [held[partition][1] for partition in range(partitions)]
        while True:
            self._poke.clear()
            head = await head_position(reader)
            while (after := min(positions)) < head:
                events = await _batch(reader, positions, epochs, min(after + BATCH_LIMIT, head))
                await runner.project(events)
                positions = [
                    max(position, advance.new) for position, advance in zip(positions, events.advances, strict=True)
                ]
                backoff.reset()
                if head - min(positions) < BATCH_LIMIT:
                    head = await head_position(reader)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poke.wait(), POLL_SECONDS)


async def _batch(reader: OwnConnection, positions: list[int], epochs: list[int], upto: int) -> Batch:
    after = min(positions)
    even = after == max(positions)
    # Positions are gapless, so a range that starts at the same position everywhere needs no counting.
    events = upto - after if even else await reader.fetchval(COUNT, after, upto, positions)
    advances = [
        Advance(partition, position, max(position, upto), epoch)
        for partition, (position, epoch) in enumerate(zip(positions, epochs, strict=True))
    ]
    return Batch(SOURCE, (after, upto, positions, KNOWN_VERSIONS), events, advances)


KNOWN_VERSIONS: Final = "{" + ", ".join(f'"{name}": {version}' for name, version in SCHEMA_VERSIONS.items()) + "}"
