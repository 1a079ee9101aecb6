"""Query parameters: what is declared is parsed and documented alike."""

from typing import Any

import pytest
from fastapi import Request

from query_api import parameters as reads
from shared.http.parameters import Parameter, Parameters, boolean, choice, integer, text
from shared.http.problems import Problem

LIMIT = integer("limit", 1, 100, 50)
EVERY = boolean("every")
MODE = choice("mode", "longest", "current")
NAME = text("name", {"type": "string"}, "Any.")
DECLARED = Parameters(LIMIT, EVERY, MODE, NAME)
OF_THE_READS = [found for found in vars(reads).values() if isinstance(found, Parameter)]


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_what_is_not_given_has_its_default() -> None:
    """A request without parameters has the declared defaults."""
    given = DECLARED.of(request(""))
    assert (50, False, "longest", None) == (given[LIMIT], given[EVERY], given[MODE], given[NAME])


def test_what_is_given_is_parsed() -> None:
    """Each value comes as its declaration parses it, and as it was written."""
    given = DECLARED.of(request("limit=007&every=true&mode=current&name=a%20b"))
    assert (7, True, "current", "a b") == (given[LIMIT], given[EVERY], given[MODE], given[NAME])
    assert {"limit": "007", "every": "true", "mode": "current", "name": "a b"} == given.texts


@pytest.mark.parametrize("value", ["1", "007", "100"])
def test_a_number_within_its_bounds_is_taken(value: str) -> None:
    """Bounds are included."""
    assert int(value) == DECLARED.parsed({"limit": value})[LIMIT]


@pytest.mark.parametrize(
    "value", ["", "0", "101", "-1", "+1", "1.0", " 1", "1_0", "ten", "\u0661", "\u00b2", "9" * 5_000]
)
def test_anything_but_a_number_within_its_bounds_is_refused(value: str) -> None:
    """Only plain digits make a number; the refusal names the parameter."""
    with pytest.raises(Problem) as caught:
        DECLARED.parsed({"limit": value})
    assert (400, ["/limit"]) == (caught.value.status, [error.pointer for error in caught.value.errors])


@pytest.mark.parametrize(
    "query", ["every=1", "every=", "mode=shortest", "mode=", "other=1", "limit=1&limit=2", "name=%00", "name=%ff", "é"]
)
def test_what_is_not_declared_so_is_refused(query: str) -> None:
    """A wrong value, an unknown name, a name twice, NUL and what is not UTF-8 are each a 400."""
    with pytest.raises(Problem) as caught:
        DECLARED.of(request(query))
    assert 400 == caught.value.status


@pytest.mark.parametrize("parameter", OF_THE_READS, ids=lambda parameter: parameter.name)
def test_the_document_says_what_is_parsed(parameter: Parameter[Any]) -> None:
    """The default and the bounds of the document are taken, what lies beyond them is not."""
    schema = parameter.documented()["schema"]
    if "default" in schema:
        assert schema["default"] == parameter.default
    for value in schema.get("enum", ()):
        assert value == parameter.parse(value)
    for bound, beyond in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            assert schema[bound] == parameter.parse(str(schema[bound]))
            with pytest.raises(ValueError, match=r"^This has to be an integer"):
                parameter.parse(str(schema[bound] + beyond))
