"""What a service answers when a request fails, by the error."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.domain.errors import DomainError
from shared.http import problems
from shared.http.api_map import allowed_methods
from shared.http.problems import InputError, Problem, invalid_input
from shared.http.responses import problem_response
from shared.http.routing import PREFIX
from shared.runtime.database import UNREACHABLE

logger = logging.getLogger(__name__)

NOT_ALLOWED: Final = 405


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


HANDLERS: Final[Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    Problem: _on_problem,
    DomainError: _on_domain_error,
    RequestValidationError: _on_bad_parameter,
    HTTPException: _on_http_error,
    ClientDisconnect: _on_client_disconnect,
    **dict.fromkeys(UNREACHABLE, _on_unreachable),
    Exception: _on_bug,
}
