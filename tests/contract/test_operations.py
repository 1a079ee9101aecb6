"""Operations: health, readiness, metrics and the one document of the API."""

from __future__ import annotations

import re

import pytest

from .helpers import API, Laurels, assert_problem, assert_status, create_user

ROOT = ("/health", "/ready", "/metrics", "/docs", "/openapi.json")

DOCUMENTED = {
    "/users": {"get", "post"},
    "/users/{}": {"get", "patch"},
    "/users/achievements": {"get", "post"},
    "/users/achievements/{}": {"get"},
    "/users/achievements/{}/translations/{}": {"put"},
    "/users/{}/achievements": {"get", "post"},
    "/users/{}/achievements/{}": {"delete"},
    "/users/achievements-stats/max-count": {"get"},
    "/users/achievements-stats/max-points": {"get"},
    "/users/achievements-stats/max-min-difference": {"get"},
    "/users/achievements-stats/streak": {"get"},
    "/commands": {"post"},
}


def _operations(laurels: Laurels) -> dict[str, set[str]]:
    document = laurels.http.get("/openapi.json").json()
    found: dict[str, set[str]] = {}
    for path, methods in document["paths"].items():
        plain = re.sub(r"\{[^}]*\}", "{}", path.removeprefix(API)).rstrip("/")
        found.setdefault(plain, set()).update(methods)
    return found


@pytest.mark.parametrize("path", ROOT)
@pytest.mark.parametrize("slash", ["", "/"])
def test_operations_answer_at_the_root(laurels: Laurels, path: str, slash: str) -> None:
    """Every operation is there, unversioned, and redirects nowhere."""
    assert_status(200, laurels.http.get(laurels.where(path + slash)))


@pytest.mark.parametrize("path", ROOT)
def test_head_works_for_operations(laurels: Laurels, path: str) -> None:
    """HEAD works wherever GET does."""
    response = laurels.http.head(laurels.where(path))

    assert_status(200, response)
    assert response.content == b""


@pytest.mark.parametrize("path", ROOT)
def test_operations_are_read_only(laurels: Laurels, path: str) -> None:
    """A method that an operation lacks is 405."""
    response = laurels.http.post(laurels.where(path), json={})

    assert_problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_metrics_are_for_prometheus(laurels: Laurels) -> None:
    """Metrics are in the text format, each with its type."""
    create_user(laurels)

    response = laurels.http.get(laurels.where("/metrics"))

    assert response.headers["Content-Type"].startswith(("text/plain", "application/openmetrics-text"))
    assert re.search(r"^# TYPE \w+ (counter|gauge|histogram|summary)", response.text, re.MULTILINE)
    assert re.search(r"^laurels_\w+(\{.*\})? [\d.e+-]+$", response.text, re.MULTILINE)


def test_docs_are_a_page(laurels: Laurels) -> None:
    """The documentation is for browsers."""
    response = laurels.http.get("/docs", headers={"Accept": "text/html"})

    assert_status(200, response)
    assert response.headers["Content-Type"].startswith("text/html")


def test_openapi_is_a_document(laurels: Laurels) -> None:
    """The description is OpenAPI 3, with a title and a version."""
    response = laurels.http.get("/openapi.json")

    assert response.headers["Content-Type"].startswith("application/json")
    assert response.json()["openapi"].startswith("3.")
    assert {"title", "version"} <= set(response.json()["info"])


@pytest.mark.parametrize(("path", "methods"), DOCUMENTED.items(), ids=DOCUMENTED.keys())
def test_one_document_describes_the_whole_api(laurels: Laurels, path: str, methods: set[str]) -> None:
    """Reads and commands are in one document, whichever service answers them."""
    operations = _operations(laurels)

    assert path in operations, sorted(operations)
    assert methods <= operations[path], operations[path]


def test_errors_are_documented_as_problems(laurels: Laurels) -> None:
    """Operations say that their errors are problem+json."""
    document = laurels.http.get("/openapi.json").text

    assert "application/problem+json" in document
