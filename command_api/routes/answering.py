"""What every command route does: read the body, submit the command, wait until it is visible, answer."""

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from command_api.answers import Answer
from command_api.decisions import Command
from command_api.group import Submission
from command_api.group_commit import Appender, DatabaseUnavailable
from command_api.idempotency import keyed
from command_api.schemas.fields import Context, idempotency_key
from command_api.waiting import Overloaded, Turns
from shared.http import problems, strict_json
from shared.http.bodies import read_json
from shared.http.parameters import query_parameters
from shared.http.prefer import Preferences, preferences
from shared.http.problems import InputError, Problem
from shared.http.routing import PREFIX
from shared.read_models.visibility import Visibility
from shared.runtime.database import Pool
from shared.runtime.hosts import client_key

Model = TypeVar("Model", bound=BaseModel)

APPLIED_SECONDS = 1.0
"""How long a command waits for the read models when the client says nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with."""

    appender: Appender
    visibility: Visibility
    pool: Pool
    context: Context
    turns: Turns = field(default_factory=Turns)


def client_of(request: Request) -> str:
    """Return what tells one client from another, from the address it comes from."""
    return client_key(request.client.host) if request.client else ""


async def body_of(service: Service, request: Request, model: type[Model]) -> Model:
    """Return the request's JSON body as a model. Raises a 400, 413 or 415 Problem."""
    raw = await read_json(request)
    return strict_json.validate(model, strict_json.parse(raw), context=service.context)


async def execute(service: Service, request: Request, command: Command, *, location: str | None = None) -> Response:
    """Submit a command and answer for it; `location` is the format of the Location header, filled from the body."""
    query_parameters(request)
    key = key_of(request)
    submission = Submission(command, keyed(key, command) if key else None)
    try:
        answer = await service.appender.submit(submission, client=client_of(request))
    except (Overloaded, DatabaseUnavailable) as error:
        raise not_taken(error) from error
    return await respond(service, request, answer, location)


def not_taken(error: Exception) -> Problem:
    """Return the 503 for a command that was not taken, or of which it is not known whether it was."""
    if isinstance(error, Overloaded):
        return problems.unavailable("Too many commands of this client wait at the moment.")
    return problems.unavailable(
        "The database does not answer at the moment. With an Idempotency-Key the command can be sent again safely."
    )


async def respond(service: Service, request: Request, answer: Answer, location: str | None) -> Response:
    """Return the response of an answer, after the wait that the client prefers."""
    headers = {}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    if answer.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
        return Response(answer.body, answer.status, headers, problems.MEDIA_TYPE)
    if answer.position is not None:
        headers |= await position_headers(service, request, answer.position)
    if location and answer.status == 201:  # noqa: PLR2004 - Created
        headers["Location"] = PREFIX + location.format_map(_Quoted(json.loads(answer.body)))
    return Response(answer.body, answer.status, headers, "application/json" if answer.body else None)


async def position_headers(service: Service, request: Request, position: int) -> dict[str, str]:
    """Wait for the read models as the client prefers; return Event-Position and Event-Applied."""
    wanted = preferences(request.headers.get("prefer"))
    applied = not wanted.respond_async and await service.visibility.reached(position, patience(wanted))
    headers = {"Event-Position": str(position), "Event-Applied": "true" if applied else "false"}
    if wanted.applied:
        headers["Preference-Applied"] = wanted.applied
    return headers


def patience(wanted: Preferences) -> float:
    """Return for how many seconds to wait for the read models, unless the client prefers not to."""
    return APPLIED_SECONDS if wanted.wait is None else wanted.wait


def key_of(request: Request) -> str | None:
    """Return the Idempotency-Key, without its quotes. Raises a 400 Problem for one that is too long or unprintable."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    text = given[0].strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if len(given) > 1:
        raise problems.invalid_input(InputError("", "There is more than one Idempotency-Key."))
    try:
        return idempotency_key(text)
    except PydanticCustomError as error:
        raise problems.invalid_input(InputError("", error.message())) from None


class _Quoted(dict[str, Any]):
    def __getitem__(self, name: str) -> str:
        return quote(str(super().__getitem__(name)), safe="")
