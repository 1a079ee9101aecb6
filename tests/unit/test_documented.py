"""The check that every response is as documented, which all tests over HTTP make."""

import httpx
import pytest

from tests.support.documented import assert_documented

LEADER = {"user_id": 1, "username": "ada", "total_points": 60, "tied_users": 1}
MAX_POINTS = "/api/v1/users/achievements-stats/max-points/"


def response(status: int, body: object, path: str = MAX_POINTS, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", f"http://localhost{path}")
    media_type = "application/problem+json" if status >= 400 else "application/json"
    given = {"Content-Type": media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.Response(status, json=body, headers=given, request=request)


def test_a_documented_response_passes() -> None:
    """Body, media type and headers are those of the document."""
    assert_documented(response(200, LEADER, Read_Position="7"))


@pytest.mark.parametrize(
    "other",
    [
        response(418, {}),
        response(200, {name: value for name, value in LEADER.items() if name != "tied_users"}),
        response(200, LEADER | {"secret": 1}),
        response(200, LEADER | {"total_points": "60"}),
        response(200, LEADER, Event_Position="7"),
        response(200, LEADER, Read_Position="seven"),
        response(404, {"title": "Not found", "status": 404, "detail": "…"}),
        response(200, LEADER, path="/api/v1/nowhere"),
    ],
    ids=["status", "missing", "unknown", "type", "header", "header's type", "problem", "path"],
)
def test_anything_else_fails(other: httpx.Response) -> None:
    """A status, a member, a type, a header or a path that the document does not have is a failure."""
    with pytest.raises(AssertionError):
        assert_documented(other)
