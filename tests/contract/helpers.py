"""What every contract test needs: the instance, its requests and its problems."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import httpx

__all__ = [
    "API",
    "FORGOTTEN_ID",
    "READ_PATHS",
    "Body",
    "FreshLaurels",
    "Laurels",
    "Scene",
    "a_standing_scene",
    "assert_problem",
    "assert_status",
    "award",
    "award_at",
    "awards_of",
    "bulk",
    "create_user",
    "define_achievement",
    "eventually",
    "get",
    "given_a_scene",
    "in_threads",
    "instant",
    "next_url",
    "position_of",
    "post_raw",
    "quoted",
    "revoke",
    "send",
    "settle",
    "streak_of",
    "texts_in",
    "translate",
    "user_path",
    "utc",
    "walk",
]

API = "/api/v1"
FORGOTTEN_ID = 2**53 - 1
"""The largest valid id: nothing is ever called that."""

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

Body = dict[str, Any]
Result = TypeVar("Result")


class Laurels(Protocol):
    """A running instance, whatever its deployment."""

    @property
    def base_url(self) -> str:
        """Say where it listens, without the API prefix."""

    @property
    def http(self) -> httpx.Client:
        """Give a client that follows no redirects."""

    def where(self, path: str) -> str:
        """Say where a path is answered: the gateway passes on all but `/metrics`."""

    @property
    def transport(self) -> str:
        """Say what carries its events."""

    @property
    def can_pause(self) -> bool:
        """Say whether its projection can be stopped."""

    @property
    def can_stop_database(self) -> bool:
        """Say whether its database can be killed."""

    def name(self, prefix: str = "user") -> str:
        """Make a name that nobody else uses."""

    def stop_projection(self) -> None:
        """Make the read models lag."""

    def resume_projection(self) -> None:
        """Let the read models catch up."""

    def stop_database(self) -> None:
        """Kill the database, for good."""


class FreshLaurels(Protocol):
    """Starts instances with an empty database."""

    def __call__(self, **settings: str) -> Laurels:
        """Start one with these settings."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A user who holds an award."""

    username: str
    user_id: int
    achievement_id: int
    achievement_name: str
    award_id: int
    position: int

    def path(self, template: str) -> str:
        """Fill a path template with what is in the scene."""
        return template.format(
            username=quoted(self.username),
            achievement_id=self.achievement_id,
            award_id=self.award_id,
        )


READ_PATHS = (
    "/users/",
    "/users/{username}/",
    "/users/achievements",
    "/users/achievements/{achievement_id}",
    "/users/{username}/achievements/",
    "/users/{username}/events/",
    "/users/{username}/stats/",
    "/users/achievements-stats/max-count/",
    "/users/achievements-stats/max-points/",
    "/users/achievements-stats/max-min-difference/",
    "/users/achievements-stats/streak/",
)


# Requests


def get(
    laurels: Laurels,
    path: str,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Read a path of the API; a query written into the path stays as it is."""
    return laurels.http.get(API + path, params=params, headers=headers)


def send(
    laurels: Laurels,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a command and wait until the read models have its events."""
    response = laurels.http.request(method, API + path, json=body, headers=headers)
    return settle(laurels, response)


def post_raw(
    laurels: Laurels,
    path: str,
    content: bytes | Iterable[bytes],
    content_type: str | None = "application/json",
    method: str = "POST",
) -> httpx.Response:
    """Send these very bytes."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    return laurels.http.request(method, API + path, content=content, headers=headers)


def settle(laurels: Laurels, response: httpx.Response) -> httpx.Response:
    """Wait, on a busy machine, until what was answered can be read as well."""
    if response.is_success and response.headers.get("Event-Applied") == "false":
        reached = get(
            laurels,
            "/users/",
            params={"limit": 1, "min_position": response.headers["Event-Position"]},
            headers={"Prefer": "wait=10"},
        )
        assert_status(200, reached)
    return response


def quoted(username: str) -> str:
    """Percent-encode a name as one path segment."""
    return quote(username, safe="")


def user_path(username: str, below: str = "/") -> str:
    """Name the path of a user, or one below it."""
    return f"/users/{quoted(username)}{below}"


def walk(
    laurels: Laurels,
    path: str,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[Body]:
    """Follow a list from its first page to its last."""
    limit = int((params or {}).get("limit", 100))
    page = get(laurels, path, params={"limit": limit} | dict(params or {}), headers=headers)
    items: list[Body] = []
    while True:
        assert_status(200, page)
        assert len(page.json()) <= limit, f"a page of {path} is over its limit {limit}"
        items += page.json()
        following = next_url(page)
        if following is None:
            return items
        page = laurels.http.get(following, headers=headers)


def next_url(page: httpx.Response) -> str | None:
    """Find the next page, at the address that the client used."""
    link = page.links.get("next")
    if link is None:
        return None
    following = urljoin(str(page.url), link["url"])
    assert page.url.netloc.decode() == urlsplit(following).netloc, "next leads elsewhere"
    return following


# Commands


def create_user(laurels: Laurels, username: str | None = None, **fields: object) -> Body:
    """Register a user, English in UTC unless told otherwise."""
    body = {"username": username or laurels.name(), "user_language": "en"} | fields
    return _created(send(laurels, "POST", "/users/", body))


def define_achievement(laurels: Laurels, name: str | None = None, **fields: object) -> Body:
    """Define an achievement, in English unless told otherwise."""
    body = {
        "achievement_name": name or laurels.name("feat"),
        "achievement_description": "Well done",
        "achievement_language": "en",
    } | fields
    return _created(send(laurels, "POST", "/users/achievements", body))


def translate(
    laurels: Laurels,
    achievement_id: int,
    language: str,
    name: str,
    description: str = "",
) -> httpx.Response:
    """Give an achievement its texts in a language."""
    return send(
        laurels,
        "PUT",
        f"/users/achievements/{achievement_id}/translations/{language}",
        {"achievement_name": name, "achievement_description": description},
    )


def award(laurels: Laurels, username: str, achievement_id: int, **fields: object) -> Body:
    """Give a user an achievement."""
    body = {"achievement_id": achievement_id} | fields
    return _created(send(laurels, "POST", user_path(username, "/achievements/"), body))


def award_at(laurels: Laurels, username: str, achievement_id: int, *times: str) -> list[Body]:
    """Give a user an achievement at each of these times."""
    commands = [
        {
            "type": "award-achievement",
            "username": username,
            "achievement_id": achievement_id,
            "awarded_at": moment,
        }
        for moment in times
    ]
    results = bulk(laurels, commands)
    assert [201] * len(times) == [result["status"] for result in results], results
    return [result["body"] for result in results]


def revoke(laurels: Laurels, username: str, award_id: int) -> httpx.Response:
    """Take an award back."""
    response = send(laurels, "DELETE", user_path(username, f"/achievements/{award_id}"))
    assert_status(204, response)
    return response


def bulk(laurels: Laurels, commands: Sequence[object]) -> list[Body]:
    """Send commands as one array and give their results."""
    response = send(laurels, "POST", "/commands", commands)
    assert_status(200, response)
    results: list[Body] = response.json()
    assert len(commands) == len(results), "one result for every command"
    return results


def given_a_scene(laurels: Laurels) -> Scene:
    """Make a user, an achievement and the award that joins them."""
    user = create_user(laurels)
    achievement = define_achievement(laurels)
    response = send(
        laurels,
        "POST",
        user_path(user["username"], "/achievements/"),
        {"achievement_id": achievement["achievement_id"]},
    )
    return Scene(
        username=user["username"],
        user_id=user["user_id"],
        achievement_id=achievement["achievement_id"],
        achievement_name=achievement["achievement_name"],
        award_id=_created(response)["award_id"],
        position=position_of(response),
    )


_SCENES: dict[str, Scene] = {}


def a_standing_scene(laurels: Laurels) -> Scene:
    """Share one scene among the tests that only read it, or are refused."""
    if laurels.base_url not in _SCENES:
        _SCENES[laurels.base_url] = given_a_scene(laurels)
    return _SCENES[laurels.base_url]


def _created(response: httpx.Response) -> Body:
    assert_status(201, response)
    body: Body = response.json()
    return body


# Reads


def awards_of(laurels: Laurels, username: str) -> list[Body]:
    """List every award of a user."""
    return walk(laurels, user_path(username, "/achievements/"))


def streak_of(laurels: Laurels, username: str, days: int = 2, mode: str | None = None) -> Body | None:
    """Find a user in the list of streaks, of two days or more unless told."""
    wanted: dict[str, str | int] = {"days": days}
    if mode is not None:
        wanted["mode"] = mode
    listed = walk(laurels, "/users/achievements-stats/streak/", params=wanted)
    found = [streak for streak in listed if streak["username"] == username]
    assert len(found) <= 1, f"{username} is listed more than once: {found}"
    return found[0] if found else None


# Judgements


def assert_status(expected: int, response: httpx.Response) -> None:
    """Compare the status and show what was answered instead."""
    request = response.request
    answered = f"{response.status_code}: {response.text[:500]}"
    assert expected == response.status_code, f"{request.method} {request.url} answered {answered}"


def assert_problem(response: httpx.Response, status: int, slug: str | None = None) -> Body:
    """Hold an error against RFC 9457 and the table of statuses."""
    assert_status(status, response)
    content_type = response.headers.get("Content-Type", "").partition(";")[0]
    assert content_type == "application/problem+json", response.text[:500]
    problem: Body = response.json()
    _assert_problem_body(problem, status, slug)
    for leak in ("Traceback", 'File "', "SELECT ", "INSERT ", "asyncpg", "sqlalchemy"):
        assert leak not in response.text, f"{leak!r} leaked: {response.text[:500]}"
    return problem


def _assert_problem_body(problem: Body, status: int, slug: str | None) -> None:
    for member in ("type", "title", "detail"):
        assert isinstance(problem.get(member), str), f"no text for {member} in {problem}"
    assert status == problem.get("status"), problem
    if slug is not None:
        assert slug == re.split(r"[:/#]", problem["type"])[-1], problem
    if status == 400:
        assert problem.get("errors"), f"invalid input without errors: {problem}"
        for error in problem["errors"]:
            assert isinstance(error["pointer"], str), problem
            assert isinstance(error["detail"], str), problem


def position_of(response: httpx.Response, header: str = "Event-Position") -> int:
    """Read a position out of the headers."""
    assert header in response.headers, f"{header} is missing: {dict(response.headers)}"
    value = response.headers[header]
    assert value.isdecimal(), f"{header} is {value!r}"
    return int(value)


def instant(timestamp: object) -> datetime:
    """Read a timestamp of the API, RFC 3339 in UTC."""
    assert isinstance(timestamp, str), f"{timestamp!r} is no timestamp"
    assert TIMESTAMP.fullmatch(timestamp), f"{timestamp!r} is not RFC 3339 in UTC"
    return datetime.fromisoformat(timestamp)


def utc(ahead: timedelta = timedelta()) -> str:
    """Write the time from now as the API would."""
    return (datetime.now(UTC) + ahead).isoformat().replace("+00:00", "Z")


def texts_in(value: object) -> set[str]:
    """Collect every text in a JSON value, wherever it stands."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set().union(*map(texts_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(texts_in, value))
    return set()


# Time and threads


def eventually(check: Callable[[], Result], seconds: float = 10) -> Result:
    """Poll until the check gives something true; the last answer otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result or time.monotonic() > deadline:
            return result
        threading.Event().wait(0.02)


def in_threads(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Make all the calls at the same moment."""
    barrier = threading.Barrier(len(calls))

    def call_together(call: Callable[[], Result]) -> Result:
        barrier.wait(timeout=10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call_together, calls))
