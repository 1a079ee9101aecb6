"""Where the log, the relay and the read models stand."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from shared.read_models.generations import PARTITION_TROUBLES
from shared.runtime.database import connect

OVERALL: Final = """
SELECT h.position AS log_position, g.generation, read_position(g.generation) AS read_position
FROM log_head h, generations g WHERE g.state = 'live'
"""
PARTITIONS: Final = """
SELECT p.partition, h.partition_positions[p.partition + 1] AS log_position, p.position
FROM progress p, log_head h WHERE p.generation = $1 ORDER BY p.partition
"""
OTHERS: Final = """
SELECT g.generation, g.state, read_position(g.generation) AS position, h.position - read_position(g.generation) AS lag
FROM generations g, log_head h WHERE g.state <> 'live' ORDER BY g.generation DESC
"""
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
            overall = await connection.fetchrow(OVERALL)
            if overall is None:
                message = "the log or the live generation is missing: the migrations did not finish"
                raise LookupError(message)
            rows = await connection.fetch(PARTITIONS, overall["generation"])
            others = await connection.fetch(OTHERS)
            troubles = dict(map(tuple, await connection.fetch(PARTITION_TROUBLES, overall["generation"])))
            published = await connection.fetchrow(PUBLISHED)
            serving = await connection.fetchval(SERVING)
    finally:
        await connection.close()
    return Status(
        serving=serving,
        log_position=overall["log_position"],
        read_position=overall["read_position"],
        lag=overall["log_position"] - overall["read_position"],
        generation=overall["generation"],
        other_generations=[OtherGeneration(**row) for row in others],
        published_position=published["position"] if published else None,
        relay_trouble=published["trouble"] if published else None,
        partitions=[
            PartitionStatus(
                row["partition"],
                row["log_position"],
                row["position"],
                max(0, row["log_position"] - row["position"]),
                troubles.get(row["partition"]),
            )
            for row in rows
        ],
    )
