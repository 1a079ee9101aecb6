"""The HTTP conventions that every service keeps: problems, slashes, HEAD, media types, protection and limits."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.domain.errors import DomainError, InvalidInput
from shared.http import problems
from shared.http.api_map import allowed_methods
from shared.http.problems import InputError, Problem, content_too_large, invalid_input, pointer
from shared.http.protection import Protection
from shared.runtime.database import UNREACHABLE
from shared.runtime.hosts import client_key
from shared.runtime.metrics import REQUEST_SECONDS, REQUESTS

logger = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
BODY_LIMIT: Final = 1024 * 1024
BATCH_LIMIT: Final = 16 * BODY_LIMIT
DRAINED: Final = 2 * BATCH_LIMIT
"""Bytes beyond the limit that are read and dropped: a client that still sends would not see the answer."""
MOST_DIGITS: Final = 20
"""Of a Content-Length, which is below 2^64 by then."""
STREAM_IDLE_SECONDS: Final = 60.0
"""How long a stream of lines may say nothing, after which it is ended."""
COMMANDS_PATH: Final = f"{PREFIX}/commands"
PROBED: Final = frozenset({"/health", "/ready"})
"""Paths that are answered whatever the Host says: probes come by address."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_ALLOWED: Final = 405
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Route(APIRoute):
    """A route whose function takes the request itself and the parameters of its path.

    FastAPI documents it; parsing, checking and writing what goes over the wire is the function's own.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:  # noqa: ANN401
        super().__init__(path, endpoint, **options)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send), **scope["path_params"])
            await response(scope, receive, send)

        self.app = answer


def api_router(prefix: str = "", *, tag: str) -> APIRouter:
    """Return a router below the API's prefix, all of whose functions take the request."""
    return APIRouter(prefix=PREFIX + prefix, tags=[tag], route_class=Route)


class Application(FastAPI):
    """FastAPI behind our edge: what is answered at the edge does not go through the framework's own layers."""

    def __init__(self, *, protection: Protection, inner: Callable[[ASGIApp], ASGIApp], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**options)
        self._edge = Edge(inner(super().__call__), protection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._edge(scope, receive, send)


def no_middleware(app: ASGIApp) -> ASGIApp:
    """Return the application as it is."""
    return app


def create_app(
    routes: Iterable[BaseRoute],
    *,
    lifespan: Lifespan,
    protection: Protection,
    inner: Callable[[ASGIApp], ASGIApp] = no_middleware,
) -> FastAPI:
    """Return an application with these routes, keeping the conventions; `inner` stands between its edge and them."""
    app = Application(
        protection=protection,
        inner=inner,
        title="Laurels",
        redirect_slashes=False,
        lifespan=lifespan,
        openapi_url=None,
        # `/metrics` tells all of it, and to ask for a tracer costs every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.stopping = asyncio.Event()
    # Side by side: routers within routers are searched one by one, on every request.
    app.router.routes.extend(routes)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_client_disconnect)
    for error in UNREACHABLE:
        app.add_exception_handler(error, _on_unreachable)
    app.add_exception_handler(Exception, _on_bug)
    return app


def problem_response(problem: Problem) -> Response:
    """Return the response that carries a problem."""
    return Response(problem.json(), problem.status, dict(problem.headers), problems.MEDIA_TYPE)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a JSON body that is written already."""
    return Response(body, status, headers, JSON)


async def _on_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - registered for this type
    return problem_response(problem)


async def _on_domain_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)  # noqa: S101 - registered for this type
    return problem_response(problems.from_domain(error))


async def _on_bad_parameter(_request: Request, _error: Exception) -> Response:
    return problem_response(invalid_input(InputError("", "A parameter is not valid.")))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    path = request.scope["path"]
    # What is nothing here may belong to the other API of a split deployment, where only the method is wrong.
    is_known = error.status_code == NOT_ALLOWED or path.startswith(PREFIX)
    allowed = (is_known and ", ".join(allowed_methods(path))) or (error.headers or {}).get("Allow")
    if error.status_code in {404, NOT_ALLOWED} and allowed:
        detail = "The path does not answer this method."
        return problem_response(Problem(NOT_ALLOWED, "method-not-allowed", detail, headers={"Allow": allowed}))
    detail = "Nothing is here." if error.status_code == 404 else "The request cannot be answered."  # noqa: PLR2004
    code = "not-found" if error.status_code == 404 else "refused"  # noqa: PLR2004
    return problem_response(Problem(error.status_code, code, detail))


async def _on_client_disconnect(_request: Request, _error: Exception) -> Response:
    # Nobody reads this; it only keeps a client that left from looking like a mistake of ours.
    return Response(status_code=400)


async def _on_unreachable(_request: Request, error: Exception) -> Response:
    logger.warning("the database did not answer: %s", error)
    return problem_response(problems.unavailable("The database does not answer at the moment."))


async def _on_bug(_request: Request, error: Exception) -> Response:
    problem = problems.internal_error()
    logger.error("a request failed, answered as %s", problem.instance, exc_info=error)
    response = problem_response(problem)
    # The error goes on to the server, which closes the connection: a client must not send its next request there.
    response.headers["Connection"] = "close"
    return response


class Edge:
    """What happens to every request before it is routed, and to every response before it leaves."""

    def __init__(self, app: ASGIApp, protection: Protection) -> None:
        self._app = app
        self._protection = protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":
            # The server looks at its own scope to see that no body is to follow.
            scope = {**scope, "method": "GET"}
        if len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope["path"] = scope["path"][:-1]
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            self._check(scope, method)
        except Problem as problem:
            await problem_response(problem)(scope, receive, observed)
        else:
            await self._app(scope, receive, observed)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            count, seconds = _metrics(method if method in METHODS and status != NOT_ALLOWED else "other", route, status)
            count.inc()
            seconds.observe(time.perf_counter() - started)

    def _check(self, scope: Scope, method: str) -> None:
        path = scope["path"]
        if "\0" in path or "\ufffd" in path:
            raise invalid_input(InputError("", "The path has a character that cannot be part of a name."))
        # Read once, while `Headers` searches all of them for every name; the first of a name counts, as there.
        headers = dict(reversed(scope["headers"]))
        if path not in PROBED:
            self._protection.check_host(_text(headers.get(b"host")))
        self._protection.check_rate(client_key(scope["client"][0]) if scope.get("client") else "unknown")
        if path.startswith(PREFIX):
            self._protection.check(method, _text(headers.get(b"authorization")))
            if accept := _text(headers.get(b"accept")):
                _check_accept(accept, (JSON, NDJSON) if path == COMMANDS_PATH else (JSON,))


def _text(header: bytes | None) -> str | None:
    return header.decode("latin-1") if header is not None else None


@lru_cache(maxsize=1024)
def _metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), REQUEST_SECONDS.labels(method, route)


def _check_accept(accept: str, offered: Sequence[str]) -> None:
    wanted = accept.strip() or "*/*"
    if wanted == "*/*" or any(accepts(wanted, media_type) for media_type in offered):
        return
    raise Problem(406, "not-acceptable", f"Answers here are {' or '.join(offered)}.")


def accepts(header: str, media_type: str) -> bool:
    """Tell whether an Accept header allows a media type; the most specific range decides (RFC 9110, 12.5.1)."""
    family = media_type.partition("/")[0] + "/*"
    qualities = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities[name] = next((quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    for wanted in (media_type, family, "*/*"):
        if wanted in qualities:
            return qualities[wanted] > 0
    return False


def quality(text: str) -> float:
    """Return a q-value; what is malformed counts as 0."""
    try:
        return float(text)
    except ValueError:
        return 0.0


async def read_json(request: Request) -> bytes:
    """Return the whole body of a single request. Raises a 415 Problem when it is not JSON, a 413 one over 1 MiB."""
    check_media_type(request, (JSON,))
    return await read_body(request, BODY_LIMIT)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises a 413 Problem when it is longer than `limit` bytes."""
    body, size = bytearray(), 0
    too_large = content_too_large(limit)
    if _announced_length(request) > limit and "expect" in request.headers:
        # The client waits to be told before it sends; whether it does so all the same, nobody would know.
        too_large.headers = {"Connection": "close"}
        raise too_large
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            body += part
        elif size > limit + DRAINED:
            break
    if size > limit:
        raise too_large
    return bytes(body)


async def until_stopping(request: Request, idle_seconds: float = STREAM_IDLE_SECONDS) -> AsyncIterator[bytes]:
    """Yield the parts of a body that may have no end.

    Raises ClientDisconnect when the service stops, so that nothing holds that up, and a 408 Problem when nothing comes
    for so long.
    """
    stopping = asyncio.create_task(request.app.state.stopping.wait())
    parts = request.stream()
    part: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            part = asyncio.ensure_future(anext(parts, None))
            await asyncio.wait([part, stopping], timeout=idle_seconds, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not part.done():
                raise ClientDisconnect
            if not part.done():
                raise Problem(408, "too-slow", f"Nothing came for {idle_seconds:g} seconds.")
            if (received := part.result()) is None:
                return
            yield received
    finally:
        stopping.cancel()
        if part is not None:
            part.cancel()


def check_media_type(request: Request, media_types: Sequence[str]) -> str:
    """Return the media type of the body. Raises a 415 Problem when it is none of these."""
    name, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next((part[8:].strip('"') for part in parameters if part.startswith("charset=")), "utf-8")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if name not in media_types or charset != "utf-8" or coding != "identity":
        raise Problem(
            415,
            "unsupported-media-type",
            f"The body has to be {' or '.join(media_types)} in UTF-8, without a content coding.",
            headers={"Accept": ", ".join(media_types)},
        )
    return name


def _announced_length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    # Any number of zeros may precede it, and Python converts only so many digits.
    return int(text.lstrip("0")[:MOST_DIGITS] or 0) if text.isascii() and text.isdigit() else 0


def query_parameters(request: Request, *known: str) -> dict[str, str]:
    """Return the query parameters. Raises a 400 Problem for unknown or repeated ones, NUL and what is not UTF-8."""
    raw = request.scope["query_string"]
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise invalid_input(InputError("", "The query is not UTF-8.")) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            accepted = f"known are: {', '.join(known)}" if known else "none is known"
            raise invalid_input(InputError(pointer(name), f"There is no such query parameter here; {accepted}."))
        if name in found:
            raise invalid_input(InputError(f"/{name}", "The query parameter is given twice."))
        if "\0" in value:
            raise invalid_input(InputError(f"/{name}", "The query parameter has a NUL character."))
        found[name] = value
    return found


_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def path_id(name: str, text: str) -> int:
    """Return an id from a path. Raises InvalidInput when it is not a positive integer below 2^53."""
    if not _ID.fullmatch(text) or int(text) >= 2**53:
        raise InvalidInput(f"/{name}", "An id is a positive integer below 2^53.")
    return int(text)
