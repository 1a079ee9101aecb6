"""Errors as RFC 9457 problem details, and the one table that gives each domain error its status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import orjson

from shared.domain import errors

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[type[errors.DomainError], int]] = {
    errors.InvalidInput: 400,
    errors.UnknownUser: 404,
    errors.UnknownAchievement: 404,
    errors.UnknownAward: 404,
    errors.NoAwards: 404,
    errors.UsernameTaken: 409,
    errors.AchievementNameTaken: 409,
    errors.AmbiguousAchievementName: 409,
    errors.AlreadyAwarded: 409,
    errors.IdempotencyKeyReused: 422,
}

TITLES: Final[Mapping[str, str]] = {
    "invalid-input": "The input is not valid",
    "unknown-user": "No such user",
    "unknown-achievement": "No such achievement",
    "unknown-award": "No such award",
    "no-awards": "No awards yet",
    "username-taken": "The username is taken",
    "achievement-name-taken": "The achievement's name is taken",
    "ambiguous-achievement-name": "The achievement's name is ambiguous",
    "already-awarded": "Already awarded",
    "idempotency-key-reused": "The Idempotency-Key was used for another command",
    "unavailable": "Temporarily unavailable",
    "behind": "The read models are behind",
    "too-large": "The recomputation takes too long",
    "busy": "Too much is being recomputed",
    "rate-limited": "Too many requests",
    "content-too-large": "The body is too large",
    "unauthorized": "Credentials are missing or wrong",
    "misdirected": "The request is addressed to another host",
    "forbidden": "Not allowed with these credentials",
}


ERRORS_LISTED: Final = 20
"""Errors of one answer at the most."""
STEP_LIMIT: Final = 64
"""Characters of one step of a pointer at the most: it may be what a client made up."""


@dataclass(frozen=True, slots=True)
class InputError:
    """What is wrong with one field, found by its JSON pointer."""

    pointer: str
    detail: str


class Problem(Exception):
    """An answer that refuses. `code` becomes the last part of `type`; `instance` is a URI of this very occurrence."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[InputError] = (),
        *,
        headers: Mapping[str, str] | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors
        self.headers = headers or {}
        self.instance = instance

    def body(self) -> dict[str, Any]:
        """Return the JSON object of RFC 9457."""
        problem: dict[str, Any] = {
            "type": f"urn:laurels:{self.code}",
            "title": TITLES.get(self.code) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.instance:
            problem["instance"] = self.instance
        if self.errors:
            problem["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in self.errors]
        return problem

    def json(self) -> bytes:
        """Return the body as JSON in UTF-8."""
        return orjson.dumps(self.body())


def invalid_input(*found: InputError, unlisted: int = 0) -> Problem:
    """Return the 400 that names the fields that are wrong, ERRORS_LISTED at the most; `unlisted` counts the others."""
    several = "Several fields are not valid." + (f" {unlisted} more are not listed." if unlisted else "")
    return Problem(400, "invalid-input", found[0].detail if len(found) == 1 else several, found)


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a field; what a client called it is shortened, and shows what it is."""
    return "".join(f"/{_step(str(step))}" for step in steps)


def _step(name: str) -> str:
    if name.isidentifier() and name.isascii() and len(name) <= STEP_LIMIT:
        return name
    shown = name if len(name) <= STEP_LIMIT else f"{name[: STEP_LIMIT - 1]}…"
    # Controls, bidirectional marks, lone surrogates and whatever else cannot be seen could make it look like another.
    visible = "".join(character if character.isprintable() else "\ufffd" for character in shown)
    return visible.replace("~", "~0").replace("/", "~1")


def content_too_large(limit: int, what: str = "The body") -> Problem:
    """Return the 413 for what is longer than so many bytes."""
    return Problem(413, "content-too-large", f"{what} may have {limit} bytes at the most.")


def unavailable(detail: str, *, code: str = "unavailable", retry_after: int = 1) -> Problem:
    """Return a 503 that asks to try again after so many seconds."""
    return Problem(503, code, detail, headers={"Retry-After": str(retry_after)})


def internal_error() -> Problem:
    """Return a 500 that tells nothing but an id, its `instance`, by which the log has what went wrong."""
    detail = "Something went wrong here. The instance is what the service's log has it under."
    return Problem(500, "internal-error", detail, instance=uuid4().urn)


def from_domain(error: errors.DomainError) -> Problem:
    """Return the problem that a domain error is answered with."""
    found = (InputError(error.pointer, str(error)),) if isinstance(error, errors.InvalidInput) else ()
    return Problem(STATUS[type(error)], error.code, str(error), found)
