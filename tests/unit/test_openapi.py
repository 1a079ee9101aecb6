"""The one OpenAPI document: it is what the routes say, and it says what the contract promises."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cli.openapi import whole_document
from shared.http.api_map import document
from shared.http.documentation import PROBLEM

Operation = dict[str, Any]

METHODS = {"get", "put", "post", "patch", "delete"}
CONTRACT = {
    "/api/v1/users": {"get", "post"},
    "/api/v1/users/{username}": {"get", "patch"},
    "/api/v1/users/achievements": {"get", "post"},
    "/api/v1/users/achievements/{achievement_id}": {"get"},
    "/api/v1/users/achievements/{achievement_id}/translations/{language}": {"put"},
    "/api/v1/users/{username}/events": {"get"},
    "/api/v1/users/{username}/stats": {"get"},
    "/api/v1/users/{username}/achievements": {"get", "post"},
    "/api/v1/users/{username}/achievements/{award_id}": {"delete"},
    "/api/v1/commands": {"post"},
    "/api/v1/users/achievements-stats/max-count": {"get"},
    "/api/v1/users/achievements-stats/max-points": {"get"},
    "/api/v1/users/achievements-stats/max-min-difference": {"get"},
    "/api/v1/users/achievements-stats/streak": {"get"},
}
OPERATIONS = {
    "/admin/rebuilds": {"get", "post"},
    "/admin/rebuilds/{rebuild_id}": {"get"},
}


def operations() -> Iterator[tuple[str, str, Operation]]:
    """Yield every operation with its path and method."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def by_name() -> list[Any]:
    return [pytest.param(path, operation, id=f"{method} {path}") for path, method, operation in operations()]


def texts_for(operation: Operation, status: str) -> dict[str, Any]:
    """Return what an operation may answer with a status, by media type."""
    found: dict[str, Any] = operation["responses"][status].get("content", {})
    return found


def references_in(value: object) -> Iterator[str]:
    match value:
        case dict():
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for member in value.values():
                yield from references_in(member)
        case list():
            for member in value:
                yield from references_in(member)
        case _:
            pass


def test_the_document_is_what_the_routes_say() -> None:
    """`openapi.json` was written after the last change of a route; `make openapi` writes it anew."""
    assert whole_document() == document()


def test_the_document_has_the_shape_of_openapi() -> None:
    """It calls itself OpenAPI 3.1, and has what that asks for."""
    whole = document()

    assert re.fullmatch(r"3\.1\.\d+", whole["openapi"])
    assert {"title", "version", "description"} <= set(whole["info"])
    assert all(path.startswith("/") and not path.endswith("/") for path in whole["paths"])
    assert METHODS >= {method for _, method, _ in operations()}


def test_the_document_has_the_paths_of_the_contract() -> None:
    """No path or method of the contract or of the operator's side is missing, and none is there besides."""
    assert CONTRACT | OPERATIONS == {path: set(methods) for path, methods in document()["paths"].items()}


def test_every_operation_has_a_name_of_its_own() -> None:
    """A generated client gets one function for each operation."""
    names = Counter(operation.get("operationId") for _, _, operation in operations())

    assert {1} == set(names.values()), names
    assert None not in names


def test_every_reference_leads_somewhere() -> None:
    """What is referred to is in the document."""
    whole = document()
    for reference in set(references_in(whole)):
        found: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


@pytest.mark.parametrize(("path", "operation"), by_name())
def test_every_parameter_of_a_path_is_declared(path: str, operation: Operation) -> None:
    """What stands in braces is declared as required, nothing else is, and no parameter is declared twice."""
    declared = [(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])]
    in_path = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "path"]

    assert sorted(re.findall(r"\{(\w+)\}", path)) == sorted(parameter["name"] for parameter in in_path)
    assert all(parameter["required"] for parameter in in_path)
    assert all("schema" in parameter for parameter in operation.get("parameters", []))
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize(("path", "operation"), by_name())
def test_every_error_is_a_problem(path: str, operation: Operation) -> None:
    """4xx and 5xx are `application/problem+json`, with the members that RFC 9457 and the contract name."""
    errors = [status for status in operation["responses"] if status >= "400"]

    assert errors, path
    for status in errors:
        texts = texts_for(operation, status)
        assert ["application/problem+json"] == list(texts), status
        assert PROBLEM == texts["application/problem+json"]["schema"]
    assert {"type", "title", "status", "detail"} <= set(document()["components"]["schemas"]["Problem"]["required"])
    assert {"400", "503"} <= set(errors)


@pytest.mark.parametrize(("path", "operation"), by_name())
def test_every_operation_says_what_it_answers(path: str, operation: Operation) -> None:
    """There is a success, described, with its position in the API, and the schema of its body unless it is 204."""
    successes = [status for status in operation["responses"] if status.startswith("2")]

    assert successes, path
    for status in successes:
        assert operation["responses"][status]["description"]
        assert status == "204" or all(text.get("schema") for text in texts_for(operation, status).values())
        assert status == "204" or texts_for(operation, status)
        headers = set(operation["responses"][status].get("headers", {}))
        assert path in OPERATIONS or headers & {"Read-Position", "Event-Position"}, f"{status} of {path} has {headers}"


def test_keys_and_positions_can_be_found_in_the_document() -> None:
    """Every POST of the API takes an Idempotency-Key; every read of it takes min_position."""
    for path, method, operation in operations():
        if path in OPERATIONS:
            continue
        named = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
        if method == "post":
            assert "idempotency-key" in named, path
        if method == "get":
            assert "min_position" in named, path
