"""What every read does: wait for a position if asked, read, and say up to where the answer is complete."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from query_api.hot import HotAnswers
from query_api.paging import integer
from query_api.reading import Reader, Reading
from shared.domain.errors import DomainError
from shared.event_store.log import head_position
from shared.http.app import json_response, query_parameters
from shared.http.documentation import LAST_NUMBER
from shared.http.prefer import preferences
from shared.http.problems import Problem, from_domain, unavailable
from shared.http.representations import to_json
from shared.read_models.generations import visible_position
from shared.read_models.visibility import Visibility
from shared.runtime.database import Record

DEFAULT_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with; the composition root puts it into the application's state."""

    reader: Reader
    visibility: Visibility
    hot: HotAnswers


def service(request: Request) -> Service:
    """Return what the composition root made, or what whoever passed the request on would have instead."""
    found: Service = request.scope.get("queries") or request.app.state.queries
    return found


async def parameters(request: Request, *known: str) -> dict[str, str]:
    """Return the query parameters, after waiting for `min_position`. Raises a 400 or 503 Problem."""
    found = query_parameters(request, *known, "min_position")
    wanted = integer(found, "min_position", 0, LAST_NUMBER, 0)
    if wanted:
        await wait_for(request, wanted, "min_position")
    return found


def patience(request: Request) -> float:
    """Return how many seconds the client lets a read wait."""
    wait = preferences(request.headers.get("prefer")).wait
    return DEFAULT_WAIT if wait is None else wait


async def wait_for(request: Request, position: int, asked_as: str) -> None:
    """Wait until the read models have reached a position; `asked_as` is the parameter. Raises a 503 Problem."""
    if await service(request).visibility.reached(position, patience(request)):
        return
    async with service(request).reader.pool.acquire() as connection:
        head, visible = await head_position(connection), await visible_position(connection)
    if position <= visible:
        # They have by now, or it only took long to be told.
        return
    what = "The read models have" if position <= head else f"The log is at position {head} and has"
    raise unavailable(f"{what} not reached {asked_as}.", code="behind")


def shown(row: Record, fields: Iterable[str]) -> dict[str, Any]:
    """Return these columns of a row; an answer about a user of whom events are in quarantine says so."""
    body = {name: row[name] for name in fields}
    return {**body, "incomplete": True} if row["incomplete"] else body


def nothing(reading: Reading, error: DomainError) -> Problem:
    """Return the problem of a read that found nothing; it too says up to where that is complete."""
    problem = from_domain(error)
    problem.headers = {"Read-Position": str(reading.position)}
    return problem


def answer(reading: Reading, body: Any, headers: Mapping[str, str] | None = None) -> Response:  # noqa: ANN401 - any JSON
    """Return the response of a read."""
    return written(reading, to_json(body), headers)


def written(reading: Reading, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of a read whose JSON is written already."""
    return json_response(body, headers={"Read-Position": str(reading.position), **(headers or {})})
