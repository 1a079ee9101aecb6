"""`laurels status`: positions of the log, the relay and the read models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from all_in_one.instance import running_instance
from cli.console import AsJson, fail, print_json
from cli.instance import DATABASE_FAILURES, embedded_database_url, not_running
from shared.event_store.log import checkpoints, head_position, read_position
from shared.read_models.generations import PARTITION_TROUBLES
from shared.runtime.database import connected
from shared.runtime.process import load_settings
from shared.runtime.settings import Settings

NOTHING_SERVES: Final = 3

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
    """One partition: its last position in the log, how far it is projected, and what stops it."""

    partition: int
    log_position: int
    position: int
    lag: int
    trouble: str | None


@dataclass(frozen=True, slots=True)
class OtherGeneration:
    """A standby generation ("standby"), or one that a rebuild builds or has left unfinished ("building")."""

    generation: int
    state: str
    position: int
    lag: int


@dataclass(frozen=True, slots=True)
class Status:
    """Positions in the log; `published_position` is None where no relay ever ran. Lags count positions.

    `trouble` and `relay_trouble` say what stops a partition or the relay, None where nothing does.

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


def status(*, as_json: AsJson = False) -> None:
    """Show positions, lag by partition, and generations; exit with 3 if nothing serves."""
    settings = load_settings()
    found = _status(settings)
    if as_json:
        print_json(found or {"serving": False})
    elif found:
        _print(found)
    if not found or not found.serving:
        fail(_nothing_serves(settings, found), NOTHING_SERVES)


def _status(settings: Settings) -> Status | None:
    """Return the status; None where the embedded database does not answer."""
    if settings.database_url:
        return asyncio.run(read_status(settings.database_url))
    serving = running_instance(settings.data_dir) is not None
    url = embedded_database_url(settings)
    try:
        # The embedded database may answer although its process was killed or is still starting.
        return replace(asyncio.run(read_status(url)), serving=serving) if url else None
    except DATABASE_FAILURES:
        if serving:
            raise
        return None


def _nothing_serves(settings: Settings, found: Status | None) -> str:
    if settings.database_url:
        return "Nothing serves: no API is connected to the database of LAURELS_DATABASE_URL."
    if found is None:
        return f"Nothing serves. {not_running(settings)}"
    where = settings.data_dir.resolve()
    return f"Nothing serves: PostgreSQL answers on {where}, but no Laurels. It is still starting, or was killed."


def _print(found: Status) -> None:
    console = Console()
    console.print(f"Serving        {'yes' if found.serving else 'no'}")
    console.print(f"Log position   {found.log_position}")
    console.print(f"Read position  {found.read_position} (lag {found.lag})")
    console.print(f"Generation     {found.generation}")
    for other in found.other_generations:
        state = "Standby" if other.state == "standby" else "Unfinished"
        console.print(f"{state:<14} {other.generation} (lag {other.lag})")
    if found.published_position is not None or found.relay_trouble:
        trouble = f" ({found.relay_trouble})" if found.relay_trouble else ""
        console.print(f"Published      {found.published_position or 0}{escape(trouble)}", soft_wrap=True)
    table = Table("Partition", "Log", "Projected", "Lag", "Trouble")
    for part in found.partitions:
        cells = (part.partition, part.log_position, part.position, part.lag, part.trouble or "")
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


async def read_status(url: str) -> Status:
    """Read the status from the database. Raises one of UNREACHABLE."""
    async with connected(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
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
