"""The middleware around every service: what is refused before it is routed, slashes, HEAD, and the counts."""

import time
from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.negotiation import JSON, NDJSON, check_accept
from shared.http.problems import InputError, Problem, invalid_input
from shared.http.protection import Protection
from shared.http.responses import problem_response
from shared.http.routing import PREFIX
from shared.runtime.hosts import client_key
from shared.runtime.metrics import REQUEST_SECONDS, REQUESTS

COMMANDS_PATH: Final = f"{PREFIX}/commands"
PROBED: Final = frozenset({"/health", "/ready"})
"""Paths that are answered whatever the Host says: probes come by address."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_ALLOWED: Final = 405


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
                check_accept(accept, (JSON, NDJSON) if path == COMMANDS_PATH else (JSON,))


def _text(header: bytes | None) -> str | None:
    return header.decode("latin-1") if header is not None else None


@lru_cache(maxsize=1024)
def _metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), REQUEST_SECONDS.labels(method, route)
