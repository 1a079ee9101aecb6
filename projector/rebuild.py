"""Builds the read models anew beside the live ones, verifies them, and switches to them; and back."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

import asyncpg

from projector import generation as generations
from projector.batch import MissingEvents, UnknownEvents
from projector.generation import Behind, NotThere, create_indexes_sql, hand_over, metadata, switch
from projector.loading import NoKafka, catch_up, load_from_kafka, load_from_log, load_one
from projector.runner import open_session
from projector.verification import Verification, verify
from shared.event_store.log import head_position, read_position
from shared.read_models.generations import VERSION, served_generation
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, folded, version
from shared.runtime.database import FAILURES, Connection, OwnConnection, Role, connect
from shared.runtime.settings import Settings

TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('laurels rebuild'))"
UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext('laurels rebuild'))"
# A rollback and a what-if take their turn as well, so a rebuild says by a lock of its own that somebody works on it.
AT_WORK: Final = "SELECT pg_advisory_lock(hashtext('laurels rebuild at work'))"
# Whoever only asks must not hold the lock for a moment: a rebuild that begins just then would be held up.
RUNNING: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = hashtext('laurels rebuild at work')
)
"""

# A number is never used twice: readers remember by it what they have prepared.
NEXT_GENERATION: Final = """
SELECT greatest((SELECT max(generation) FROM generations), (SELECT max(generation) FROM rebuilds)) + 1
"""
BEGIN: Final = """
INSERT INTO rebuilds (generation, transport, state, phase, options) VALUES ($1, $2, 'running', 'load', $3)
RETURNING rebuild_id
"""
UNFINISHED: Final = """
SELECT r.rebuild_id, r.generation, r.phase, r.options::text AS options, g.version,
       g.state = 'live' AS is_live, g.state = 'standby' AND g.served_until IS NOT NULL AS rolled_back
FROM rebuilds r LEFT JOIN generations g USING (generation)
WHERE r.state = 'running' ORDER BY r.rebuild_id DESC LIMIT 1
"""
MOVE: Final = """
UPDATE rebuilds SET phase = $2, position = $3, target = $4, events_per_second = $5, error = NULL WHERE rebuild_id = $1
"""
NOTE: Final = "UPDATE rebuilds SET error = $2 WHERE rebuild_id = $1"
FINISH: Final = "UPDATE rebuilds SET state = $2, error = coalesce($3, error), finished_at = now() WHERE rebuild_id = $1"
STATE: Final = "SELECT state FROM generations WHERE generation = $1"
REACHED: Final = "SELECT sum(position) FROM progress WHERE generation = $1"
FIRST: Final = "SELECT min(position) FROM progress WHERE generation = $1"
STANDING_BY: Final = """
SELECT generation, version FROM generations
WHERE state = 'standby' AND served_until IS NOT NULL ORDER BY served_until DESC
"""
"""Those that were served before, the latest first; what an interrupted rebuild left is none of them."""
LEFT_OVER: Final = """
SELECT generation FROM generations g WHERE state = 'building'
AND NOT EXISTS (SELECT FROM rebuilds r WHERE r.generation = g.generation AND r.state = 'running')
"""

SWITCH_SECONDS: Final = 30.0
"""How long to try again where the new generation is behind; between the attempts nothing is held up."""
STILL_SECONDS: Final = 10.0
"""How long it may stand still, as while a projector joins its consumer group, before nobody seems to follow it."""
PAUSE_SECONDS: Final = 0.5


class Busy(Exception):
    """Another rebuild is running; the message is one sentence."""


class Refused(Exception):
    """What was asked for cannot be done; the message is one sentence."""


ENDINGS: tuple[type[Exception], ...] = (Busy, Refused, Behind, NotThere, NoKafka)
"""What a rebuild or a rollback may end with, each with one sentence for the operator."""


class Phase(StrEnum):
    """What a rebuild is at, in this order."""

    LOAD = "load"
    INDEX = "index"
    VERIFY = "verify"
    CATCH_UP = "catch up"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to rebuild, and how. `keep` is how many generations go on standing by after the switch."""

    transport: Literal["log", "kafka"] = "log"
    projection: str | None = None
    keep: int = 1
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rebuild is: positions of the log, and events a second while it loads.

    `dropped` is the generation of an interrupted rebuild that it could not go on with.
    """

    rebuild_id: int
    generation: int
    phase: Phase
    position: int = 0
    target: int = 0
    events_per_second: float | None = None
    resumed: bool = False
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rebuild came to; one that went on tells only what it did itself.

    `events` are those it loaded, `seconds` go by phase, `live` is the comparison of the live generation by a dry run,
    `standing_by` are the generations that a rollback can go to, the latest first.
    """

    generation: int
    events: int
    seconds: Mapping[Phase, float]
    verification: Verification | None
    live: Verification | None
    switched: bool
    standing_by: Sequence[int]


Report = Callable[[Progress], None]


@contextlib.asynccontextmanager
async def turn(url: str) -> AsyncIterator[OwnConnection]:
    """Hold the one lock of rebuilds. Raises Busy."""
    connection = await connect(url, Role.PROJECTOR, command_timeout=None)
    try:
        if not await connection.fetchval(TRY_LOCK):
            raise Busy("Another rebuild is running; `GET /admin/rebuilds` tells how far it is.")
        yield connection
        await connection.execute(UNLOCK)
    finally:
        connection.terminate()


async def rebuild(settings: Settings, plan: Plan, report: Report, models: Sequence[ReadModel] = READ_MODELS) -> Outcome:
    """Build a generation and switch to it. Raises one of ENDINGS or a database error.

    Whatever ends it early leaves the live generation as it is; the next call with the same plan goes on from there. One
    with another plan gives up what was there, except that a dry run is refused then: it changes nothing.
    """
    if plan.projection is not None and plan.projection not in rebuildable(models):
        raise Refused(f"There is no projection of this name; there are: {', '.join(rebuildable(models))}.")
    async with turn(settings.database_url) as connection:
        await connection.execute(AT_WORK)
        started = await _begin(connection, plan, models)
        work = _Rebuild(settings, plan, models, connection, started, report)
        try:
            return await work.run()
        except (Refused, UnknownEvents, MissingEvents) as error:
            await connection.execute(FINISH, started.rebuild_id, "failed", str(error))
            await generations.drop(connection, started.generation)
            raise Refused(str(error)) from error
        except (*ENDINGS, *FAILURES) as error:
            # Whoever watches it is told why; it is unfinished, and the next one goes on with it.
            with contextlib.suppress(*FAILURES):
                await connection.execute(NOTE, started.rebuild_id, _reason(error))
            raise


async def renew(settings: Settings, announce: Callable[[str], None]) -> None:
    """Rebuild before anything is served where the live read models are of another version. Raises as `rebuild` does."""
    connection = await connect(settings.database_url, Role.PROJECTOR)
    try:
        version = await connection.fetchval("SELECT version FROM generations WHERE state = 'live'")
        head = await head_position(connection)
    finally:
        await connection.close()
    if version != VERSION:
        announce(f"The read models are of another version: building them anew from {head:,} events.")
        await rebuild(settings, Plan(), lambda _progress: None)


def rebuildable(models: Sequence[ReadModel] = READ_MODELS) -> list[str]:
    """Return the names of the read models that can be rebuilt by themselves."""
    return [model.name for model in folded(models)]


async def drop_unfinished(url: str) -> int | None:
    """Drop what an interrupted rebuild left; return its generation, None if there was none. Raises Busy."""
    async with turn(url) as connection:
        row = await connection.fetchrow(UNFINISHED)
        return int(row["generation"]) if row and await _give_up(connection, row) else None


async def drop_left_overs(connection: Connection) -> None:
    """Drop generations that no rebuild is building any more; the caller holds the lock."""
    for row in await connection.fetch(LEFT_OVER):
        await generations.drop(connection, row["generation"])


async def rollback(url: str) -> tuple[int, int]:
    """Serve reads from the generation that stands by; return its number and the other's.

    Raises Busy, Refused where none stands by, or Behind.
    """
    async with turn(url) as connection:
        standing_by = await connection.fetchrow(STANDING_BY)
        if standing_by is None:
            raise Refused("No generation stands by: a rebuild keeps the one before it, unless with --keep 0.")
        if standing_by["version"] != VERSION:
            other = f"Generation {standing_by['generation']} is of version {standing_by['version']}"
            raise Refused(f"{other}, not {VERSION} as this code: code of its own version can go back to it.")
        return standing_by["generation"], await _switch(connection, standing_by["generation"])


async def _begin(connection: Connection, plan: Plan, models: Sequence[ReadModel]) -> Progress:
    await drop_left_overs(connection)
    options, newest, dropped = asdict(plan), version(models), None
    row = await connection.fetchrow(UNFINISHED)
    if row is not None:
        begun = json.loads(row["options"])
        if begun == options and row["version"] == newest and not row["rolled_back"]:
            position = await read_position(connection, row["generation"])
            return Progress(row["rebuild_id"], row["generation"], Phase(row["phase"]), position, resumed=True)
        is_left = row["version"] is not None and not (row["is_live"] or row["rolled_back"])
        if plan.dry_run and is_left and not begun["dry_run"]:
            go_on = "go on with it (`laurels rebuild` with its options), or " if row["version"] == newest else ""
            raise Refused(
                f"An interrupted rebuild left generation {row['generation']}, which a dry run would drop: "
                f"{go_on}drop it (`laurels rebuild --drop`)."
            )
        await _give_up(connection, row)
        dropped = row["generation"] if is_left else None
    generation = await connection.fetchval(NEXT_GENERATION)
    async with connection.transaction():
        await generations.create(connection, generation, models)
        rebuild_id = await connection.fetchval(BEGIN, generation, plan.transport, json.dumps(options))
    return Progress(rebuild_id, generation, Phase.LOAD, dropped=dropped)


async def _give_up(connection: Connection, row: Any) -> bool:  # noqa: ANN401 - a row
    """Drop the generation, unless its rebuild got as far as the switch; return whether it was dropped."""
    switched = row["is_live"] or row["rolled_back"]
    if switched:
        # Whatever ended it came after that.
        await connection.execute(NOTE, row["rebuild_id"], None)
    else:
        await generations.drop(connection, row["generation"])
    await connection.execute(FINISH, row["rebuild_id"], "done" if switched else "dropped", None)
    return not switched


def _differences(found: Verification, which: str) -> str:
    tables = ", ".join(check.table for check in found.tables if check.differing)
    return f"{found.drift} rows of the {which} generation are not what the log says: {tables}."


def _reason(error: Exception) -> str:
    # What a database says may have statements and data in it.
    return str(error) if isinstance(error, ENDINGS) else "The database failed; the log of the process says how."


async def _switch(connection: Connection, generation: int) -> int:
    started = moved = time.monotonic()
    reached = 0
    while True:
        try:
            return await switch(connection, generation)
        except (Behind, asyncpg.DeadlockDetectedError):
            now, before = time.monotonic(), reached
            reached = await connection.fetchval(REACHED, generation)
            moved = moved if reached == before else now
            if now > started + SWITCH_SECONDS or now > moved + STILL_SECONDS:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


class _Rebuild:
    """One rebuild at work; `connection` holds the lock and keeps the books."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        models: Sequence[ReadModel],
        connection: OwnConnection,
        progress: Progress,
        report: Report,
    ) -> None:
        self._settings, self._plan, self._connection, self._report = settings, plan, connection, report
        self._models = models
        self._progress = progress
        self._url, self._generation = settings.database_url, progress.generation
        self._seconds: dict[Phase, float] = {}
        self._verification: Verification | None = None
        self._live: Verification | None = None
        self._standing_by: list[int] = []

    async def run(self) -> Outcome:
        """Go through the phases, from the one that is next."""
        await self._move(target=await head_position(self._connection))
        first = await self._connection.fetchval(FIRST, self._generation)
        events = self._progress.target - first if self._progress.phase is Phase.LOAD else 0
        work = {
            Phase.LOAD: self._load,
            Phase.INDEX: self._index,
            Phase.VERIFY: self._verify,
            Phase.CATCH_UP: self._catch_up,
            Phase.SWITCH: self._switch,
        }
        phases = list(work)[: 3 if self._plan.dry_run else None]
        for phase in phases[phases.index(self._progress.phase) :]:
            await self._move(phase=phase)
            started = time.monotonic()
            await work[phase]()
            self._seconds[phase] = time.monotonic() - started
        drift = _differences(self._live, "live") if self._live is not None and self._live.drift else None
        await self._connection.execute(FINISH, self._progress.rebuild_id, "done", drift)
        return Outcome(
            self._generation,
            events,
            self._seconds,
            self._verification,
            self._live,
            not self._plan.dry_run,
            self._standing_by,
        )

    async def _move(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Progress
        self._progress = now = replace(self._progress, **changes)
        await self._connection.execute(MOVE, now.rebuild_id, now.phase, now.position, now.target, now.events_per_second)
        self._report(now)

    async def _load(self) -> None:
        moved = await self._measured()
        if self._plan.projection is not None:
            served = await served_generation(self._connection)
            await load_one(self._url, self._generation, served, self._plan.projection, self._models)
            await self._move(position=await read_position(self._connection, self._generation))
        elif self._plan.transport == "kafka":
            await load_from_kafka(self._settings, self._generation, moved, self._models)
        else:
            await load_from_log(self._url, self._generation, self._progress.target, moved, models=self._models)

    async def _measured(self) -> Callable[[int], Awaitable[None]]:
        first = await self._connection.fetchval(FIRST, self._generation)
        started = time.monotonic()

        async def moved(position: int) -> None:
            rate = (position - first) / max(time.monotonic() - started, 1e-9)
            # What comes while it catches up lies beyond the target of the load.
            await self._move(position=position, target=max(position, self._progress.target), events_per_second=rate)

        return moved

    async def _index(self) -> None:
        worker = await open_session(self._url, self._generation, self._models, large=True)
        try:
            async with worker.transaction():
                for statement in create_indexes_sql(self._generation, self._models):
                    await worker.execute(statement)
                for table in metadata(self._generation, self._models).sorted_tables:
                    await worker.execute(f"ANALYZE {table.name}")
                # With the indexes, so that whoever goes on does not make them again.
                await worker.execute("UPDATE rebuilds SET phase = $2 WHERE rebuild_id = $1", *self._after(Phase.INDEX))
        finally:
            worker.terminate()

    def _after(self, phase: Phase) -> tuple[int, Phase]:
        phases = list(Phase)
        return self._progress.rebuild_id, phases[phases.index(phase) + 1]

    async def _verify(self) -> None:
        self._verification = await verify(self._url, self._generation, self._models)
        if self._verification.drift:
            raise Refused(_differences(self._verification, "new"))
        if self._plan.dry_run:
            served = await served_generation(self._connection)
            self._live = await verify(self._url, served, self._models)
            await generations.drop(self._connection, self._generation)

    async def _catch_up(self) -> None:
        if await self._connection.fetchval(STATE, self._generation) == "building":
            await catch_up(self._url, self._generation, await self._measured(), self._models)
            await hand_over(self._connection, self._generation)

    async def _switch(self) -> None:
        await _switch(self._connection, self._generation)
        standing_by = [row["generation"] for row in await self._connection.fetch(STANDING_BY)]
        self._standing_by = standing_by[: self._plan.keep]
        for generation in standing_by[self._plan.keep :]:
            await generations.drop(self._connection, generation)
