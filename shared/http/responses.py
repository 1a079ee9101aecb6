"""Responses whose body is written already."""

from fastapi import Response

from shared.http import problems
from shared.http.negotiation import JSON
from shared.http.problems import Problem


def problem_response(problem: Problem) -> Response:
    """Return the response that carries a problem."""
    return Response(problem.json(), problem.status, dict(problem.headers), problems.MEDIA_TYPE)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a JSON body that is written already."""
    return Response(body, status, headers, JSON)
