"""Where the log, the relay and the read models stand."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from shared.event_store.log import checkpoints, head_position, read_position
from shared.read_models.generations import PARTITION_TROUBLES
from shared.runtime.database import connect

GENERATIONS: Final = "SELECT generation, state FROM generations ORDER BY state = 'live' DESC, generation DESC"
SERVING: Final = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name IN ('laurels_command', 'laurels_query') AND query ILIKE 'LISTEN %'
)
"""
"""Whether an API follows this database: each listens for as long as it runs."""
PUBLISHED: Final = "SELECT nullif(position, 0) AS position, trouble FROM write_model.relay_lease"


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition: its last position in the log, how far it is projected, and what holds it up."""

    partition: int
    log_position: int
    position: int
    lag: int
    trouble: str | None


@dataclass(frozen=True, slots=True)
class OtherGeneration:
    """A generation that stands by ("standby"), or that a rebuild builds or has left unfinished ("building")."""

    generation: int
    state: str
    position: int
    lag: int


@dataclass(frozen=True, slots=True)
class Status:
    """Positions in the log; `published_position` is None where no relay ever ran. Lags count positions.

    `trouble` and `relay_trouble` say what holds a partition or the relay up, in words, None where nothing does.

    `serving` says whether an API of this instance runs.
    """

    serving: bool
    log_position: int
    read_position: int
    lag: int
    generation: int
    other_generations: Sequence[OtherGeneration]
    published_position: int | None
    relay_trouble: str | None
    partitions: Sequence[PartitionStatus]

    def as_dict(self) -> dict[str, Any]:
        """Return what `laurels status --json` prints."""
        return asdict(self)


async def read_status(url: str) -> Status:
    """Read the status from the database. Raises one of UNREACHABLE."""
    connection = await connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            head = await head_position(connection)
            generations = [
                OtherGeneration(generation, state, position, head - position)
                for generation, state in await connection.fetch(GENERATIONS)
                for position in (await read_position(connection, generation),)
            ]
            if not generations:
                message = "the live generation is missing: the migrations did not finish"
                raise LookupError(message)
            live, *others = generations
            partitions = await checkpoints(connection, live.generation)
            troubles = dict(map(tuple, await connection.fetch(PARTITION_TROUBLES, live.generation)))
            published = await connection.fetchrow(PUBLISHED)
            serving = await connection.fetchval(SERVING)
    finally:
        await connection.close()
    return Status(
        serving=serving,
        log_position=head,
        read_position=live.position,
        lag=live.lag,
        generation=live.generation,
        other_generations=others,
        published_position=published["position"] if published else None,
        relay_trouble=published["trouble"] if published else None,
        partitions=[
            PartitionStatus(at.partition, at.last, at.position, at.lag, troubles.get(at.partition)) for at in partitions
        ],
    )
