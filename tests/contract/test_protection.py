"""Protection, where it is switched on: bearer tokens and rate limits."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import TYPE_CHECKING

from .helpers import (
    API,
    FreshLaurels,
    Laurels,
    assert_problem,
    assert_status,
    eventually,
)

if TYPE_CHECKING:
    import httpx

WRITE, OTHER, READ = "w-0123456789abcdef", "w-other-9876543210", "r-0123456789abcdef"
OPEN = ("/health", "/ready", "/metrics", "/docs", "/openapi.json")
READS = (
    "/users/",
    "/users/ada/",
    "/users/ada/achievements/",
    "/users/achievements",
    "/users/achievements/1",
    "/users/achievements-stats/max-count/",
    "/users/achievements-stats/max-points/",
    "/users/achievements-stats/max-min-difference/",
    "/users/achievements-stats/streak/",
)
COMMANDS = (
    ("POST", "/users/"),
    ("PATCH", "/users/ada/"),
    ("POST", "/users/achievements"),
    ("PUT", "/users/achievements/1/translations/ru"),
    ("POST", "/users/ada/achievements/"),
    ("DELETE", "/users/ada/achievements/1"),
    ("POST", "/commands"),
)


def _ask(
    laurels: Laurels,
    method: str,
    path: str,
    authorization: str | None,
    body: object = None,
) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return laurels.http.request(method, API + path, json=body, headers=headers)


def _assert_unauthorized(response: httpx.Response) -> None:
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_tokens_protect_what_they_are_set_for(fresh_laurels: FreshLaurels) -> None:
    """Commands need a write token, reads any token, operations none."""
    laurels = fresh_laurels(LAURELS_WRITE_TOKENS=f"{WRITE},{OTHER}", LAURELS_READ_TOKENS=READ)

    _check_nobody_gets_in(laurels)
    _check_reading_is_not_writing(laurels)
    _check_tokens_let_in(laurels)
    _check_operations_stay_open(laurels)


def _check_nobody_gets_in(laurels: Laurels) -> None:
    """Missing, unknown and malformed credentials are 401, before any input is read."""
    strangers = (
        None,
        "Bearer unknown",
        f"Bearer {WRITE}2",
        f"Bearer {WRITE[:-1]}",
        f"Bearer {WRITE},{OTHER}",
        "Bearer",
        WRITE,
        f"Basic {b64encode(f'{WRITE}:'.encode()).decode()}",
    )
    for stranger in strangers:
        _assert_unauthorized(_ask(laurels, "GET", "/users/", stranger))
        _assert_unauthorized(_ask(laurels, "POST", "/users/", stranger, {"nonsense": 1}))
    for path in READS:
        _assert_unauthorized(_ask(laurels, "GET", path, None))
    for method, path in COMMANDS:
        _assert_unauthorized(_ask(laurels, method, path, None))


def _check_reading_is_not_writing(laurels: Laurels) -> None:
    """Know a read token, but allow it no commands."""
    for method, path in COMMANDS:
        assert_problem(_ask(laurels, method, path, f"Bearer {READ}", {}), 403)
    assert [] == _ask(laurels, "GET", "/users/", f"Bearer {READ}").json()


def _check_tokens_let_in(laurels: Laurels) -> None:
    """Any of the tokens works, and the scheme is not case-sensitive."""
    for token, name in ((f"Bearer {WRITE}", "ada"), (f"bearer {OTHER}", "bob")):
        body = {"username": name, "user_language": "en"}
        assert_status(201, _ask(laurels, "POST", "/users/", token, body))
    for token in (f"Bearer {READ}", f"Bearer {WRITE}", f"bearer {OTHER}"):
        assert_status(200, _ask(laurels, "GET", "/users/", token))


def _check_operations_stay_open(laurels: Laurels) -> None:
    """Probes, metrics and documentation need no token."""
    for path in OPEN:
        assert_status(200, laurels.http.get(laurels.where(path)))


def test_rate_limit_is_429(fresh_laurels: FreshLaurels) -> None:
    """Who asks too often is told when to come back, and may come back."""
    laurels = fresh_laurels(LAURELS_RATE_LIMIT="5/second")

    refused = _until_refused(laurels)
    problem = assert_problem(refused, 429)
    assert problem["title"]
    assert refused.headers["Retry-After"].isdecimal()
    assert int(refused.headers["Retry-After"]) >= 1
    again = eventually(lambda: laurels.http.get(API + "/users/").status_code == 200)
    assert again, "the limit never ends"


def _until_refused(laurels: Laurels) -> httpx.Response:
    deadline = time.monotonic() + 10
    while True:
        response = laurels.http.get(API + "/users/")
        if response.status_code == 429 or time.monotonic() > deadline:
            return response
