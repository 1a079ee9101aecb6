"""What every read does: wait for a position if asked, read, and say up to where the response is complete."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel

from query_api.parameters import MIN_POSITION
from query_api.reader import Reader, Reading
from shared.domain.errors import DomainError
from shared.event_store.log import head_position
from shared.http.parameters import Given, Parameters
from shared.http.prefer import preferences
from shared.http.problems import Problem, from_domain, unavailable
from shared.http.representations import to_json
from shared.http.responses import json_response
from shared.read_models.generations import visible_position
from shared.read_models.visibility import Visibility
from shared.runtime.database import ReadPool, Record

DEFAULT_WAIT: Final = 1.0
INCOMPLETE: Final = "incomplete"


@dataclass(frozen=True, slots=True)
class Queries:
    """What the routes work with; `languages` are those that texts may be asked for in."""

    reader: Reader
    visibility: Visibility
    pool: ReadPool
    languages: frozenset[str]


async def asked(queries: Queries, request: Request, parameters: Parameters) -> Given:
    """Return the query parameters, after waiting for `min_position`. Raises a 400 or 503 Problem."""
    given = parameters.of(request)
    if wanted := given[MIN_POSITION]:
        await wait_for_position(queries, request, wanted, MIN_POSITION.name)
    return given


def timeout_of(request: Request) -> float:
    """Return how many seconds the client lets a read wait."""
    wait = preferences(request.headers.get("prefer")).wait
    return DEFAULT_WAIT if wait is None else wait


async def wait_for_position(queries: Queries, request: Request, position: int, asked_as: str) -> None:
    """Wait until the read models have reached a position; `asked_as` is the parameter. Raises a 503 Problem."""
    if await queries.visibility.reached(position, timeout_of(request)):
        return
    async with queries.pool.acquire() as connection:
        head, visible = await head_position(connection), await visible_position(connection)
    if position <= visible:
        # They have by now, or the notification was late.
        return
    what = "The read models have" if position <= head else f"The log is at position {head} and has"
    raise unavailable(f"{what} not reached {asked_as}.", code="behind")


def columns_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the columns of a row that a model shows."""
    return tuple(name for name in model.model_fields if name != INCOMPLETE)


def shown(row: Record, columns: Iterable[str]) -> dict[str, Any]:
    """Return these columns of a row, marked if events of its user are in quarantine."""
    body = {name: row[name] for name in columns}
    return {**body, INCOMPLETE: True} if row[INCOMPLETE] else body


def not_found(reading: Reading, error: DomainError) -> Problem:
    """Return the problem of a read that found nothing; it too says up to where that is complete."""
    problem = from_domain(error)
    problem.headers = {"Read-Position": str(reading.position)}
    return problem


def respond(reading: Reading, body: Any, headers: Mapping[str, str] | None = None) -> Response:  # noqa: ANN401 - whatever it is given
    """Return the response of a read."""
    return respond_written(reading, to_json(body), headers)


def respond_written(reading: Reading, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of a read whose JSON is written already."""
    return json_response(body, headers={"Read-Position": str(reading.position), **(headers or {})})
