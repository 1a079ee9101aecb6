"""What every service answers at its root: health, readiness, metrics and documentation."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST

from shared.http.api_map import document
from shared.http.exposition import Exposition
from shared.http.problems import unavailable
from shared.http.representations import to_json
from shared.http.responses import json_response, problem_response

Check = Callable[[], Awaitable[str | None]]
"""Returns None when a thing that the service needs is there, else what is wrong, in a few words."""

CHECK_SECONDS = 1.5
# The page's own parts come from here, so that it works where there is no way to the internet.
DOCS_PARTS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


async def _nothing_to_refresh() -> None:
    """Leave the gauges as they are."""


def operations(
    checks: Mapping[str, Check],
    refresh: Callable[[], Awaitable[None]] = _nothing_to_refresh,
    warnings: Mapping[str, Check] = MappingProxyType({}),
    instance: str | None = None,
) -> APIRouter:
    """Return the routes at the root; `/ready` asks every check, `/metrics` brings the gauges up to date before.

    What is wrong by `warnings` leaves the service ready, and is told beside that. `instance` is shown by `/health`, so
    that a command can tell this run of the service from any other.
    """
    router = APIRouter(include_in_schema=False)
    healthy = to_json({"status": "ok"} if instance is None else {"status": "ok", "instance": instance})
    exposition = Exposition(refresh)

    @router.get("/health")
    async def health() -> Response:
        return json_response(healthy)

    @router.get("/ready")
    async def ready() -> Response:
        missing, degraded = await asyncio.gather(_wrong(checks), _wrong(warnings))
        if missing:
            wrong = {**missing, **degraded}
            return problem_response(unavailable("; ".join(f"{name}: {words}" for name, words in wrong.items())))
        if degraded:
            return json_response(to_json({"status": "degraded", "warnings": degraded}))
        return json_response(to_json({"status": "ready"}))

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(await exposition.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return json_response(to_json(document()))

    @router.get("/docs")
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Laurels",
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    @router.get("/docs/{name}")
    async def docs_part(name: str) -> Response:
        if name not in DOCS_PARTS:
            raise HTTPException(404)
        return FileResponse(str(files("fastapi_offline").joinpath("static", name)), media_type=DOCS_PARTS[name])

    return router


async def _wrong(checks: Mapping[str, Check]) -> dict[str, str]:
    answers = await asyncio.gather(*map(_ask, checks.values()))
    return {name: wrong for name, wrong in zip(checks, answers, strict=True) if wrong}


async def _ask(check: Check) -> str | None:
    """Return what is wrong, in bounded time: a check that cannot be cancelled is left to end by itself."""
    asking = asyncio.ensure_future(check())
    await asyncio.wait([asking], timeout=CHECK_SECONDS)
    if not asking.done():
        asking.cancel()
        _LEFT.add(asking)
        asking.add_done_callback(_forget)
        return "no answer"
    error = asking.exception()
    if isinstance(error, TimeoutError):
        return "no answer"
    return type(error).__name__ if error else asking.result()


_LEFT: set[asyncio.Future[str | None]] = set()


def _forget(ended: asyncio.Future[str | None]) -> None:
    _LEFT.discard(ended)
    if not ended.cancelled():
        ended.exception()
