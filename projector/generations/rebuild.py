"""Builds new read models beside the live ones, verifies them, and switches to them; and back."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import asyncpg

from projector.batch import MissingEvents, UnknownEvents
from projector.generations import lifecycle as generations
from projector.generations.lifecycle import Behind, NotOnStandby, create_indexes_sql, hand_over, metadata, switch
from projector.generations.loading import NoKafka, catch_up, load_from_kafka, load_from_log, load_one
from projector.generations.plan import Busy, Outcome, Phase, Plan, Progress, Refused
from projector.generations.verification import Verification, verify
from projector.runner import open_session
from shared.event_store.log import head_position, read_position
from shared.read_models.generations import VERSION, served_generation
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, folded, version
from shared.runtime.database import FAILURES, Connection, OwnConnection, Role, connect
from shared.runtime.settings import Settings
from shared.runtime.sql import sql

TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('laurels rebuild'))"
UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext('laurels rebuild'))"
# A rollback and a what-if take their turn as well, so a rebuild says by a lock of its own that somebody works on it.
AT_WORK: Final = "SELECT pg_advisory_lock(hashtext('laurels rebuild at work'))"

NOTE: Final = "UPDATE rebuilds SET error = $2 WHERE rebuild_id = $1"
FINISH: Final = "UPDATE rebuilds SET state = $2, error = coalesce($3, error), finished_at = now() WHERE rebuild_id = $1"
STATE: Final = "SELECT state FROM generations WHERE generation = $1"
REACHED: Final = "SELECT sum(position) FROM progress WHERE generation = $1"
FIRST: Final = "SELECT min(position) FROM progress WHERE generation = $1"

SWITCH_SECONDS: Final = 30.0
"""How long to try again where the new generation is behind; between the attempts nothing is held up."""
STILL_SECONDS: Final = 10.0
"""How long it may stand still, as while a projector joins its consumer group, before it counts as not followed."""
PAUSE_SECONDS: Final = 0.5


ENDINGS: tuple[type[Exception], ...] = (Busy, Refused, Behind, NotOnStandby, NoKafka)
"""What a rebuild or a rollback may end with, each with one sentence for the operator."""


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
            # The reason is kept for those who watch; it is unfinished, and the next one goes on with it.
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
        announce(f"The read models are of another version: building new ones from {head:,} events.")
        await rebuild(settings, Plan(), lambda _progress: None)


def rebuildable(models: Sequence[ReadModel] = READ_MODELS) -> list[str]:
    """Return the names of the read models that can be rebuilt by themselves."""
    return [model.name for model in folded(models)]


async def drop_unfinished(url: str) -> int | None:
    """Drop what an interrupted rebuild left; return its generation, None if there was none. Raises Busy."""
    async with turn(url) as connection:
        row = await connection.fetchrow(sql("projector.sql", "unfinished_rebuild"))
        return int(row["generation"]) if row and await _give_up(connection, row) else None


async def drop_left_overs(connection: Connection) -> None:
    """Drop generations that no rebuild is building any more; the caller holds the lock."""
    for row in await connection.fetch(sql("projector.sql", "left_over_generations")):
        await generations.drop(connection, row["generation"])


async def rollback(url: str) -> tuple[int, int]:
    """Serve reads from the standby generation; return its number and the other's.

    Raises Busy, Refused where there is none, or Behind.
    """
    async with turn(url) as connection:
        standby = await connection.fetchrow(sql("projector.sql", "served_before"))
        if standby is None:
            raise Refused("There is no standby generation: a rebuild keeps the one before it, unless with --keep 0.")
        if standby["version"] != VERSION:
            other = f"Generation {standby['generation']} is of version {standby['version']}"
            raise Refused(f"{other}, not {VERSION} as this code: code of its own version can go back to it.")
        return standby["generation"], await _switch(connection, standby["generation"])


async def _begin(connection: Connection, plan: Plan, models: Sequence[ReadModel]) -> Progress:
    await drop_left_overs(connection)
    options, newest, dropped = asdict(plan), version(models), None
    row = await connection.fetchrow(sql("projector.sql", "unfinished_rebuild"))
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
    generation = await connection.fetchval(sql("projector.sql", "next_generation"))
    async with connection.transaction():
        await generations.create(connection, generation, models)
        rebuild_id = await connection.fetchval(
            sql("projector.sql", "begin_rebuild"), generation, plan.transport, json.dumps(options)
        )
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
        self._standby: list[int] = []

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
            self._standby,
        )

    async def _move(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Progress
        self._progress = now = replace(self._progress, **changes)
        await self._connection.execute(
            sql("projector.sql", "note_progress"),
            now.rebuild_id,
            now.phase,
            now.position,
            now.target,
            now.events_per_second,
        )
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
                # With the indexes, so that an attempt that goes on does not make them again.
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
        standby = [row["generation"] for row in await self._connection.fetch(sql("projector.sql", "served_before"))]
        self._standby = standby[: self._plan.keep]
        for generation in standby[self._plan.keep :]:
            await generations.drop(self._connection, generation)
