"""Folds batches into one generation: rows and checkpoint in one transaction."""

import logging
from typing import Final

from projector import batch
from projector.batch import Batch
from projector.projections import PROJECTIONS
from shared.read_models import PROJECTED_CHANNEL, schema_name
from shared.runtime.database import OwnConnection, Role, connect
from shared.runtime.metrics import BATCH_SECONDS, PROJECTED, TAKEOVERS

logger = logging.getLogger(__name__)

ADVANCE: Final = """
UPDATE progress p SET position = a.new, kafka_offset = coalesce(a.kafka_offset, p.kafka_offset)
FROM unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS a (partition, old, new, epoch, kafka_offset)
WHERE p.generation = $1 AND p.partition = a.partition AND p.position = a.old AND p.epoch = a.epoch
"""

TAKE_OVER: Final = """
UPDATE progress SET epoch = epoch + 1
WHERE generation = $1 AND partition = ANY($2::smallint[])
RETURNING partition, position, epoch, kafka_offset
"""

STATEMENTS: Final = tuple(statement for projection in PROJECTIONS for statement in projection.statements)


class TakenOver(Exception):
    """Another projector has these partitions now: the batch was dropped, and nothing of it is in the rows."""


class Runner:
    """A connection that writes one generation."""

    def __init__(self, connection: OwnConnection, generation: int) -> None:
        self._connection = connection
        self.generation = generation

    @classmethod
    async def open(cls, url: str, generation: int) -> "Runner":
        """Connect for a generation. Raises one of UNREACHABLE."""
        path = f"{schema_name(generation)}, public"
        connection = await connect(url, Role.PROJECTOR, {**batch.SESSION, "search_path": path})
        for statement in batch.CREATE:
            await connection.execute(statement)
        return cls(connection, generation)

    def close(self) -> None:
        """Drop the connection, and with it a transaction that is under way."""
        self._connection.terminate()

    async def take_over(self, partitions: list[int]) -> dict[int, tuple[int, int, int | None]]:
        """Become the one who may write these partitions.

        Returns position, epoch and Kafka offset by partition; whoever held them before is refused from now on.
        """
        rows = await self._connection.fetch(TAKE_OVER, self.generation, partitions)
        return {row["partition"]: (row["position"], row["epoch"], row["kafka_offset"]) for row in rows}

    async def project(self, events: Batch) -> None:
        """Fold a batch into the rows. Raises TakenOver, MissingEvents or a database error; then nothing was written."""
        with BATCH_SECONDS.time():
            async with self._connection.transaction():
                await self._advance(events)
                await events.fill(self._connection)
                for statement in STATEMENTS:
                    await self._connection.execute(statement)
                await self._connection.execute(f"NOTIFY {PROJECTED_CHANNEL}")
        PROJECTED.inc(events.events)

    async def _advance(self, events: Batch) -> None:
        # First of all, so that the rows stay locked: whoever else has the same batch waits here, and is refused.
        advances = events.advances
        columns = zip(*((a.partition, a.old, a.new, a.epoch, a.kafka_offset) for a in advances), strict=True)
        status = await self._connection.execute(ADVANCE, self.generation, *map(list, columns))
        if int(status.split()[-1]) != len(advances):
            TAKEOVERS.inc()
            raise TakenOver
