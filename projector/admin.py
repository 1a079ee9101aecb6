"""The operator's side over HTTP: rebuilds are begun and watched under `/admin`, which no gateway passes on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from projector.rebuild import ENDINGS, RUNNING, Busy, Plan, Progress, rebuild, rebuildable
from shared.representations import to_json
from shared.runtime import strict_json
from shared.runtime.background import begin, end
from shared.runtime.database import FAILURES, Connection, Pool, Record
from shared.runtime.http import json_response, path_id, query_parameters, read_json
from shared.runtime.problems import InputError, Problem, invalid_input
from shared.runtime.protection import Protection
from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

FAILED: tuple[type[Exception], ...] = (*ENDINGS, *FAILURES)

COLUMNS: Final = """
rebuild_id, generation, transport, state, phase, position, target, events_per_second,
CASE WHEN state = 'running' AND phase IN ('load', 'catch up') AND events_per_second > 0
     THEN (target - position) / events_per_second END AS seconds_left,
error, started_at, finished_at
"""
ONE: Final = f"SELECT {COLUMNS} FROM rebuilds WHERE rebuild_id = $1"  # noqa: S608 - put together from constants
LATEST: Final = f"SELECT {COLUMNS} FROM rebuilds ORDER BY rebuild_id DESC LIMIT 100"  # noqa: S608 - the same


class NewRebuild(BaseModel):
    """What a rebuild is to do; the defaults are those of `laurels rebuild`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    transport: Literal["log", "kafka"] = "log"
    projection: str | None = None
    keep: int = Field(1, ge=0, le=100)
    dry_run: bool = False


class Administration:
    """Runs at most one rebuild in this process, and tells about all of them."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings, self._pool = settings, pool
        self._task: asyncio.Task[None] | None = None

    async def start(self, plan: Plan) -> int:
        """Begin a rebuild and return its id. Raises a 409 Problem while one is running."""
        if self._task is not None and not self._task.done():
            raise _busy()
        begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._task = begin(self._run(plan, begun))
        return await begun

    async def stop(self) -> None:
        """End a rebuild that is under way; it can be gone on with."""
        if self._task is not None:
            await end(self._task)

    async def listed(self) -> list[dict[str, Any]]:
        """Return the latest rebuilds, newest first."""
        async with self._pool.acquire() as connection:
            return await _shown(connection, await connection.fetch(LATEST))

    async def one(self, rebuild_id: int) -> dict[str, Any] | None:
        """Return one rebuild, None if there is no such one."""
        async with self._pool.acquire() as connection:
            found = await _shown(connection, await connection.fetch(ONE, rebuild_id))
        return found[0] if found else None

    async def _run(self, plan: Plan, begun: asyncio.Future[int]) -> None:
        def report(progress: Progress) -> None:
            if not begun.done():
                begun.set_result(progress.rebuild_id)

        try:
            await rebuild(self._settings, plan, report)
        except Busy:
            begun.set_exception(_busy())
        except FAILED as error:
            logger.error("the rebuild ended: %s", error)  # noqa: TRY400 - an operator's matter, not a bug's
            if not begun.done():
                begun.set_exception(error)


async def _shown(connection: Connection, rows: Sequence[Record]) -> list[dict[str, Any]]:
    found = [dict(row) for row in rows]
    # Whoever works holds the lock; what says that it runs while nobody does was interrupted.
    if any(row["state"] == "running" for row in found) and not await connection.fetchval(RUNNING):
        found = [{**row, "state": "interrupted"} if row["state"] == "running" else row for row in found]
    return found


@contextlib.asynccontextmanager
async def administration(settings: Settings, pool: Pool) -> AsyncIterator[Administration]:
    """Yield an Administration, and end what it runs when the context ends."""
    made = Administration(settings, pool)
    try:
        yield made
    finally:
        await made.stop()


def router(protection: Protection) -> APIRouter:
    """Return the routes of the operator's side."""

    def operators_only(request: Request) -> None:
        protection.check_operator(request.headers, request.client.host if request.client else "unknown")

    router = APIRouter(prefix="/admin", include_in_schema=False, dependencies=[Depends(operators_only)])

    @router.post("/rebuilds")
    async def begin_rebuild(request: Request) -> Response:
        wanted = strict_json.validate(NewRebuild, strict_json.parse(await read_json(request)))
        if wanted.projection is not None and wanted.projection not in rebuildable():
            raise invalid_input(InputError("/projection", f"This has to be one of: {', '.join(rebuildable())}."))
        made: Administration = request.app.state.administration
        rebuild_id = await made.start(Plan(**wanted.model_dump()))
        headers = {"Location": f"/admin/rebuilds/{rebuild_id}"}
        return json_response(to_json(await made.one(rebuild_id)), 202, headers)

    @router.get("/rebuilds")
    async def list_rebuilds(request: Request) -> Response:
        query_parameters(request)
        return json_response(to_json(await request.app.state.administration.listed()))

    @router.get("/rebuilds/{rebuild_id}")
    async def show_rebuild(request: Request, rebuild_id: str) -> Response:
        query_parameters(request)
        found = await request.app.state.administration.one(path_id("rebuild_id", rebuild_id))
        if found is None:
            raise Problem(404, "not-found", "There is no rebuild with this id.")
        return json_response(to_json(found))

    return router


def _busy() -> Problem:
    return Problem(409, "rebuild-running", "Another rebuild is running.")
