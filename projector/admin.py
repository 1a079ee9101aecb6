"""The operator's side over HTTP: rebuilds are begun and watched under `/admin`, which no gateway passes on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from projector.generations.plan import Busy, Phase, Plan, Progress
from projector.generations.rebuild import ENDINGS, rebuild, rebuildable
from shared.http import strict_json
from shared.http.bodies import BODY_LIMIT, check_media_type, read_body
from shared.http.documentation import PathId, header, problem_responses
from shared.http.negotiation import JSON
from shared.http.parameters import path_id, query_parameters
from shared.http.problems import InputError, Problem, invalid_input
from shared.http.protection import Protection
from shared.http.representations import Representation, to_json
from shared.http.responses import json_response
from shared.http.routing import Routes
from shared.runtime.background import begin, end
from shared.runtime.database import FAILURES, Pool
from shared.runtime.settings import Settings
from shared.runtime.sql import sql

logger = logging.getLogger(__name__)

FAILED: tuple[type[Exception], ...] = (*ENDINGS, *FAILURES)


class State(StrEnum):
    """What became of a rebuild; those that are interrupted or failed have changed nothing that is served."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SWITCHED = "switched"
    COMPARED = "compared"
    FAILED = "failed"
    DROPPED = "dropped"


class NewRebuild(BaseModel):
    """What a rebuild is to do; the defaults are those of `laurels rebuild`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    transport: Literal["log", "kafka"] = "log"
    projection: str | None = Field(
        None, json_schema_extra={"enum": [*rebuildable(), None]}, description="Only this one."
    )
    keep: int = Field(1, ge=0, le=100, description="Standby generations that are kept, for a rollback.")
    dry_run: bool = Field(default=False, description="Build and compare, but do not switch.")


class Rebuild(Representation):
    """A rebuild: what it was to do, how far it is, and what became of it.

    `switched` and `compared` (a dry run) are done. What is `interrupted`, or `failed` without `finished_at`, is gone on
    with by the next rebuild with the same options; `dropped` was given up.
    """

    rebuild_id: int
    generation: int
    transport: Literal["log", "kafka"]
    projection: str | None
    keep: int
    dry_run: bool
    state: State
    phase: Phase
    position: int = Field(description="Log position up to which the generation is filled.")
    target: int = Field(description="Log position that it is filled up to.")
    events_per_second: float | None
    seconds_left: float | None
    error: str | None = Field(
        description="Why it failed, or what a dry run found to be wrong with the live generation."
    )
    started_at: datetime
    finished_at: datetime | None


BODY: Final = {"required": False, "content": {JSON: {"schema": NewRebuild.model_json_schema()}}}


class Administration:
    """Runs at most one rebuild in this process, and tells about all of them."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings, self._pool = settings, pool
        self._task: asyncio.Task[None] | None = None

    async def start(self, plan: Plan) -> int:
        """Begin a rebuild and return its id. Raises a 409 Problem while one is running."""
        if self._task is not None and not self._task.done():
            raise _refused(Busy("Another rebuild is running."))
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
            return [dict(row) for row in await connection.fetch(sql("projector.sql", "latest_rebuilds"))]

    async def one(self, rebuild_id: int) -> dict[str, Any] | None:
        """Return one rebuild, None if there is no such one."""
        async with self._pool.acquire() as connection:
            found = await connection.fetchrow(sql("projector.sql", "rebuild"), rebuild_id)
        return dict(found) if found else None

    async def _run(self, plan: Plan, begun: asyncio.Future[int]) -> None:
        def report(progress: Progress) -> None:
            if not begun.done():
                begun.set_result(progress.rebuild_id)

        try:
            await rebuild(self._settings, plan, report)
        except FAILED as error:
            if begun.done():
                logger.error("the rebuild ended: %s", error)  # noqa: TRY400 - an operator's matter, not a bug's
            else:
                begun.set_exception(_refused(error) if isinstance(error, ENDINGS) else error)
        except Exception as error:
            # A bug; those who wait for the beginning must not wait for ever.
            if not begun.done():
                begun.set_exception(error)
            raise


@contextlib.asynccontextmanager
async def administration(settings: Settings, pool: Pool) -> AsyncIterator[Administration]:
    """Yield an Administration, and end what it runs when the context ends."""
    made = Administration(settings, pool)
    try:
        yield made
    finally:
        await made.stop()


@dataclass(frozen=True, slots=True)
class OperatorsOnly:
    """Gives the administration to requests of operators."""

    administration: Administration
    protection: Protection

    def administering(self, request: Request) -> Administration:
        """Return the administration. Raises a 401 or 403 Problem for anybody but an operator."""
        self.protection.check_operator(request.headers, request.client.host if request.client else "unknown")
        return self.administration


def _route(model: Any, status: int, *problems: int) -> dict[str, Any]:  # noqa: ANN401 - a model or a list of them
    """Return the documentation of a route: what it answers, and with which problems."""
    headers = {"Location": header("string", "The path of the rebuild.")} if status == 202 else {}  # noqa: PLR2004 - Accepted
    answers: dict[int | str, dict[str, Any]] = {status: {"model": model, "headers": headers}}
    return {"response_model": None, "responses": answers | problem_responses(400, 401, 403, 429, 503, *problems)}


ROUTES: Final = Routes[OperatorsOnly]("/admin", tag="operations", base="")


@ROUTES.post("/rebuilds", status_code=202, **_route(Rebuild, 202, 409, 413, 415), openapi_extra={"requestBody": BODY})
async def begin_rebuild(operators: OperatorsOnly, request: Request) -> Response:
    """Begin a rebuild of the read models; without a body, one with every option at its default."""
    administration = operators.administering(request)
    query_parameters(request)
    wanted = await _wanted(request)
    if wanted.projection is not None and wanted.projection not in rebuildable():
        raise invalid_input(InputError("/projection", f"This has to be one of: {', '.join(rebuildable())}."))
    rebuild_id = await administration.start(Plan(**wanted.model_dump()))
    headers = {"Location": f"/admin/rebuilds/{rebuild_id}"}
    return json_response(to_json(await administration.one(rebuild_id)), 202, headers)


@ROUTES.get("/rebuilds", **_route(list[Rebuild], 200))
async def list_rebuilds(operators: OperatorsOnly, request: Request) -> Response:
    """List the latest hundred rebuilds, newest first."""
    administration = operators.administering(request)
    query_parameters(request)
    return json_response(to_json(await administration.listed()))


@ROUTES.get("/rebuilds/{rebuild_id}", **_route(Rebuild, 200, 404))
async def show_rebuild(operators: OperatorsOnly, request: Request, rebuild_id: PathId) -> Response:
    """Tell how far a rebuild is, or what became of it."""
    administration = operators.administering(request)
    query_parameters(request)
    found = await administration.one(path_id("rebuild_id", rebuild_id))
    if found is None:
        raise Problem(404, "not-found", "There is no rebuild with this id.")
    return json_response(to_json(found))


async def _wanted(request: Request) -> NewRebuild:
    raw = await read_body(request, BODY_LIMIT)
    if not raw:
        return NewRebuild()
    check_media_type(request, (JSON,))
    return strict_json.validate(NewRebuild, strict_json.parse(raw))


def _refused(error: Exception) -> Problem:
    return Problem(409, "rebuild-running" if isinstance(error, Busy) else "rebuild-refused", str(error))
