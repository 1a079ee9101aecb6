"""What Schemathesis has to know: values for our formats, lines of JSON, and the few findings that are no faults."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

from shared.domain.names import InvalidName, achievement_name, username

_Case = schemathesis.Case[Any]

NDJSON: Final = "application/x-ndjson"


def _allowed(rule: Callable[[str], object]) -> Callable[[str], bool]:
    def allowed(text: str) -> bool:
        try:
            rule(text)
        except InvalidName:
            return False
        return True

    return allowed


_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
_WORDS = st.from_regex(r"[A-Za-z0-9_.-]{3,24}", fullmatch=True) | st.text(
    st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20
)
_PAST = st.datetimes(datetime(1, 1, 2), datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone follows

schemathesis.openapi.format("username", _WORDS.filter(_allowed(username)))
schemathesis.openapi.format("achievement-name", _TEXTS.filter(_allowed(achievement_name)))
schemathesis.openapi.format("language", st.sampled_from(["en", "ru"]))
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Moscow", "Asia/Kolkata", "America/Lima"]))
# Nobody can be awarded anything tomorrow, nor can it be told what will be known then.
schemathesis.openapi.format("date-time", _PAST.map(lambda at: at.isoformat()))


@schemathesis.serializer(NDJSON)
def _line(_context: object, value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer(NDJSON)
def _result(_context: object, response: Response) -> object:
    return json.loads(response.content)


@schemathesis.hook
def filter_failure(_context: object, failure: Failure, case: _Case, response: Response) -> bool:
    """Say whether a finding is one."""
    return not any(exception(failure, case, response) for exception in EXCEPTIONS)


def _made_up_cursor(failure: Failure, _case: _Case, response: Response) -> bool:
    # A cursor is opaque: no schema can tell those that a list gave from those that it did not.
    return isinstance(failure, RejectedPositiveData) and ["/cursor"] == [
        error["pointer"] for error in _problem(response).get("errors", [])
    ]


def _position_of_the_future(failure: Failure, _case: _Case, response: Response) -> bool:
    # A read that asks for a position the log does not have yet is told so by a 503, as the contract says.
    return isinstance(failure, ServerError) and _problem(response).get("type") == "urn:laurels:behind"


def _key_of_another_command(failure: Failure, _case: _Case, response: Response) -> bool:
    # Whether an Idempotency-Key is new depends on what was sent before, and no schema tells that.
    return (
        isinstance(failure, RejectedPositiveData)
        and _problem(response).get("type") == "urn:laurels:idempotency-key-reused"
    )


def _refused_in_its_result(failure: Failure, case: _Case, response: Response) -> bool:
    # In bulk every command is refused by itself; the answer that tells which ones were is a 200.
    if not isinstance(failure, AcceptedNegativeData) or case.operation.path != "/api/v1/commands":
        return False
    results = json.loads(b"[" + b",".join(response.content.splitlines()) + b"]")
    flat = [result for part in results for result in (part if isinstance(part, list) else [part])]
    return any(result["status"] == 400 for result in flat)


EXCEPTIONS: Final = (_made_up_cursor, _position_of_the_future, _key_of_another_command, _refused_in_its_result)


def _problem(response: Response) -> dict[str, Any]:
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
