"""What a page in a browser, on another site, cannot do: address this instance, or command it without a preflight."""

from __future__ import annotations

import re

import pytest

from .helpers import API, Laurels, assert_problem, assert_status

EVIL = {"Host": "evil.example", "Origin": "http://evil.example"}
SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", None)
"""Media types that a page may send to another site without asking first."""


def _requests(laurels: Laurels) -> list[tuple[str, str]]:
    document = laurels.http.get("/openapi.json").json()
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "1", path))
        for path, methods in document["paths"].items()
        for method in methods
    ]


def test_another_host_is_421_everywhere(laurels: Laurels) -> None:
    """Whatever the method and the path, a name that is made to mean this machine (DNS rebinding) is not answered."""
    requests = [*_requests(laurels), *(("GET", path) for path in ("/metrics", "/docs", "/openapi.json", "/nothing"))]

    for method, path in requests:
        problem = assert_problem(laurels.http.request(method, laurels.where(path), headers=EVIL, json={}), 421)
        assert "LAURELS_HOSTS" in problem["detail"], (method, path)
        assert "evil" not in str(problem)


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/"])
def test_probes_come_by_address(laurels: Laurels, path: str) -> None:
    """Health and readiness are told under any name."""
    assert_status(200, laurels.http.get(path, headers={"Host": "10.0.0.7:8000"}))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.1.2.3:9", "[::1]:8000"])
def test_this_machine_is_answered(laurels: Laurels, host: str) -> None:
    """All names and addresses of this very machine mean this instance."""
    assert_status(200, laurels.http.get(API + "/users/", headers={"Host": host}))


@pytest.mark.parametrize("media_type", SIMPLE)
def test_a_command_without_a_preflight_is_refused(laurels: Laurels, media_type: str | None) -> None:
    """What a page can POST to another site without asking is no command, whatever its body says."""
    name = laurels.name()
    bodies = {"/users": f'{{"username": "{name}", "user_language": "en"}}'}
    paths = [path for method, path in _requests(laurels) if method == "POST" and path.startswith(API)]

    for path in paths:
        for body in (bodies.get(path.removeprefix(API).rstrip("/"), "{}"), ""):
            headers = {"Origin": "http://evil.example"} | ({"Content-Type": media_type} if media_type else {})
            assert_problem(laurels.http.post(path, content=body, headers=headers), 415)
    assert {f"{API}/users", f"{API}/commands"} <= {path.rstrip("/") for path in paths}
    assert_problem(laurels.http.get(f"{API}/users/{name}/"), 404)


def test_no_preflight_is_granted(laurels: Laurels) -> None:
    """A page that asks whether it may send JSON is not told that it may."""
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    response = laurels.http.options(API + "/users/", headers=asking)

    assert not [name for name in response.headers if name.lower().startswith("access-control-")]
