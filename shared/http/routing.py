"""Routes are declared as functions of what they work with, and made when a composition root has it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

PREFIX: Final = "/api/v1"

Service = TypeVar("Service")
InPath = ParamSpec("InPath")
Endpoint = Callable[Concatenate[Service, Request, InPath], Awaitable[Response]]


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


@dataclass(frozen=True, slots=True)
class Declared:
    """A route before it is made: its path, its function, and FastAPI's options."""

    path: str
    function: Callable[..., Awaitable[Response]]
    options: dict[str, Any]


class Routes(Generic[Service]):
    """Declares routes whose functions take a `Service`, the request, and the parameters of the path.

    A composition root makes them with `bound_to(service)`, so that nothing is looked up while a request is served.
    """

    def __init__(self, prefix: str = "", *, tag: str, base: str = PREFIX) -> None:
        self._prefix, self._tag = base + prefix, tag
        self.declared: list[Declared] = []

    def get(self, path: str, **options: Any) -> Callable[[Endpoint[Service, InPath]], Endpoint[Service, InPath]]:  # noqa: ANN401 - FastAPI's
        """Declare a GET; the options are those of FastAPI's routes."""
        return self.route("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Endpoint[Service, InPath]], Endpoint[Service, InPath]]:  # noqa: ANN401 - FastAPI's
        """Declare a POST."""
        return self.route("POST", path, **options)

    def route(
        self,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401 - FastAPI's
    ) -> Callable[[Endpoint[Service, InPath]], Endpoint[Service, InPath]]:
        """Declare a route of any method."""

        def declare(function: Endpoint[Service, InPath]) -> Endpoint[Service, InPath]:
            given = {"methods": [method], "tags": [self._tag], **options}
            self.declared.append(Declared(self._prefix + path, function, given))
            return function

        return declare

    def bound_to(self, service: Service) -> Iterator[Route]:
        """Return the routes, which work with this service."""
        return self._bound(service)

    def described(self) -> Iterator[Route]:
        """Return the routes as they are documented; they cannot answer."""
        return self._bound(object())

    def _bound(self, service: object) -> Iterator[Route]:
        return (Route(one.path, MethodType(one.function, service), **one.options) for one in self.declared)


def joined(parts: Iterable[Routes[Service]]) -> Routes[Service]:
    """Return the routes of several modules as one."""
    whole = Routes[Service](tag="")
    for part in parts:
        whole.declared += part.declared
    return whole
