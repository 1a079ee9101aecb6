"""Holds every response against what the OpenAPI document says of it: status, media type, body and headers."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx
import jsonschema_rs
import orjson

from shared.http.api_map import document
from shared.http.documentation import PROBLEM

JSON: Final = {"application/json", "application/problem+json"}
BEFORE_ROUTING: Final = {400, 401, 403, 406, 408, 413, 414, 421, 429, 431}
"""What is wrong with a request before it has a route; the document has no operation for a path that there is not."""
AT_THE_CONNECTION: Final = {408, 414, 421, 431}
"""What may be wrong with any request, whatever its operation."""
OWN_HEADERS: Final = re.compile(
    r"event-.*|idempotency-.*|read-position|incomplete|location|link|etag|preference-applied", re.IGNORECASE
)
TEXTS: Final = {"integer": r"\d+", "boolean": "true|false", "string": ".*"}

Schema = Mapping[str, Any]


def assert_documented(response: httpx.Response) -> None:
    """Fail for a response that the document does not describe; a body of another kind than JSON is not looked at."""
    request = response.request
    what = f"{request.method} {request.url.path}: {response.status_code}"
    found = _response(request, response.status_code)
    assert found is not None, f"{what} is not documented"
    _assert_headers(what, response, found.get("headers", {}))
    media_type = response.headers.get("content-type", "").partition(";")[0]
    content = found.get("content", {})
    assert not content or media_type in content, f"{what} is {media_type or 'without a body'}"
    if media_type in content and media_type in JSON and request.method != "HEAD":
        response.read()
        _assert_body(what, response.json(), content[media_type]["schema"])


def _response(request: httpx.Request, status: int) -> Mapping[str, Any] | None:
    path = request.url.path.rstrip("/")
    if not path.startswith(("/api/", "/admin/")):
        # Health, metrics and documentation are no part of the document.
        return {}
    operation = _operation("get" if request.method == "HEAD" else request.method.lower(), path)
    problem = {"content": {"application/problem+json": {"schema": PROBLEM}}}
    if operation is None:
        return problem if status in BEFORE_ROUTING | {404, 405} else None
    found: Mapping[str, Any] | None = operation["responses"].get(str(status))
    return problem if found is None and status in AT_THE_CONNECTION else found


def _operation(method: str, path: str) -> Mapping[str, Any] | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path) and method in operations:
            found: Mapping[str, Any] = operations[method]
            return found
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
    # Literal paths go before those with parameters, as they do in the services.
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path), re.DOTALL), operations) for path, operations in paths]


def _assert_headers(what: str, response: httpx.Response, documented: Mapping[str, Any]) -> None:
    known = {name.lower(): entry["schema"]["type"] for name, entry in documented.items()}
    for name, value in response.headers.items():
        if OWN_HEADERS.fullmatch(name):
            assert name.lower() in known, f"{what} has {name}, which is not documented"
            assert re.fullmatch(TEXTS[known[name.lower()]], value), f"{what}: {name} is {value!r}"


def _assert_body(what: str, body: object, schema: Schema) -> None:
    errors = [f"{list(error.instance_path)}: {error.message}" for error in _validator(schema).iter_errors(body)]
    assert not errors, f"{what} is not as documented: {errors[:5]} in {str(body)[:500]}"


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return _made(orjson.dumps(schema))


@cache
def _made(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    whole = _closed({**orjson.loads(schema), "components": document()["components"]})
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _closed(schema: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the schema, with no other members in its objects than those that it names."""
    match schema:
        case {"type": "object", "properties": _}:
            return {"additionalProperties": False} | {name: _closed(part) for name, part in schema.items()}
        case dict():
            return {name: _closed(part) for name, part in schema.items()}
        case list():
            return [_closed(part) for part in schema]
        case _:
            return schema
