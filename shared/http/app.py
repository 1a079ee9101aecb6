"""The application of a service: FastAPI with the HTTP conventions that every service keeps."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.edge import Edge
from shared.http.errors import HANDLERS
from shared.http.protection import Protection

Middleware = Callable[[ASGIApp], ASGIApp]


def no_middleware(app: ASGIApp) -> ASGIApp:
    """Return the application as it is."""
    return app


@dataclass(frozen=True, slots=True)
class Serving:
    """What an application answers with: its routes, and a middleware between its edge and them."""

    routes: Iterable[BaseRoute]
    middleware: Middleware = no_middleware


class Application(FastAPI):
    """FastAPI behind our edge: what is answered at the edge does not go through the framework's own layers."""

    def __init__(self, start: "Start", protection: Protection, **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(lifespan=self._lifespan, **options)
        self._start, self._protection = start, protection
        self.stopping = asyncio.Event()
        self._edge: ASGIApp = Edge(super().__call__, protection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._edge(scope, receive, send)

    def serve(self, serving: Serving) -> None:
        """Answer with these from now on."""
        # Side by side: routers within routers are searched one by one, on every request.
        self.router.routes.extend(serving.routes)
        self._edge = Edge(serving.middleware(super().__call__), self._protection)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        async with self._start(self) as serving:
            self.serve(serving)
            yield


Start = Callable[[Application], AbstractAsyncContextManager[Serving]]
"""Makes what an application works with, yields what it serves, and ends it."""


def create_app(start: Start, protection: Protection) -> Application:
    """Return an application that keeps the conventions, and answers once it is started."""
    app = Application(
        start,
        protection,
        title="Laurels",
        version="1",
        redirect_slashes=False,
        openapi_url=None,
        # `/metrics` tells all of it, and to ask for a tracer costs every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for error, handler in HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app
