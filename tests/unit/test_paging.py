"""Pages of a list: limits, cursors, and the link from one page to the next."""

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from query_api.paging import DEFAULT_LIMIT, Page, integer, next_link, page
from shared.runtime.problems import Problem

KEYS = st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(-(2**63), 2**63 - 1))


def link(path: str, parameters: dict[str, str], kind: str, after: Sequence[Any]) -> str:
    return next_link(Request({"type": "http", "path": path, "headers": []}), parameters, kind, after)


def query_of(header: str) -> dict[str, str]:
    target, _, relation = header.partition("; ")
    assert 'rel="next"' == relation
    return dict(parse_qsl(urlsplit(target.strip("<>")).query, keep_blank_values=True))


def cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_the_first_page_has_fifty_rows() -> None:
    """Without parameters a page begins at the beginning."""
    assert Page(DEFAULT_LIMIT, None) == page({}, "users", int)
    assert 50 == DEFAULT_LIMIT


@given(KEYS, st.integers(1, 100))
def test_a_link_leads_on_from_the_last_row(key: tuple[str, int], limit: int) -> None:
    """The cursor of a link gives back the sort key, whatever its values, and the other parameters stay."""
    given_parameters = {"limit": str(limit), "mode": "current"}
    query = query_of(link("/users", given_parameters, "list", key))
    assert Page(limit, list(key)) == page(query, "list", str, int)
    assert given_parameters == {name: query[name] for name in given_parameters}


def test_a_link_replaces_the_cursor() -> None:
    """The next page follows this one, not the one before."""
    query = query_of(link("/users", {"cursor": cursor(["users", 1])}, "users", [2]))
    assert Page(DEFAULT_LIMIT, [2]) == page(query, "users", int)


def test_a_link_can_be_followed() -> None:
    """A path with any script and any signs becomes a valid URL of the same path."""
    target = link('/users/Боб "x">/achievements', {}, "users", [1]).partition(">")[0].removeprefix("<")
    assert urlsplit(target).path == "/users/%D0%91%D0%BE%D0%B1%20%22x%22%3E/achievements/"


@pytest.mark.parametrize(
    "given_cursor",
    [
        "",
        "?",
        "é",
        "AAAAA",
        "////",
        base64.urlsafe_b64encode(b"\xff").decode(),
        cursor(None),
        cursor({}),
        cursor([]),
        cursor(["users"]),
        cursor(["users", 1, 2]),
        cursor(["achievements", 1]),
        cursor(["users", "1"]),
        cursor(["users", 1.0]),
        cursor(["users", True]),
        cursor(["users", None]),
        cursor(["users", 2**63]),
        cursor(["users", -(2**63) - 1]),
        cursor(["users", 10**30]),
        base64.urlsafe_b64encode(b"[" * 5_000).decode(),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(given_cursor: str) -> None:
    """A cursor is made by this list for this list; anything else is 400."""
    with pytest.raises(Problem) as caught:
        page({"cursor": given_cursor}, "users", int)
    assert (400, ["/cursor"]) == (caught.value.status, [error.pointer for error in caught.value.errors])


@given(st.text(max_size=60))
def test_any_cursor_is_read_or_refused(text: str) -> None:
    """No cursor raises anything but a 400."""
    try:
        page({"cursor": text}, "users", int)
        status = 200
    except Problem as problem:
        status = problem.status
    assert status in {200, 400}


@pytest.mark.parametrize("text", ["1", "007", "100"])
def test_a_number_within_its_bounds_is_taken(text: str) -> None:
    """Bounds are included."""
    assert int(text) == integer({"limit": text}, "limit", 1, 100, 50)


@pytest.mark.parametrize(
    "text", ["", "0", "101", "-1", "+1", "1.0", " 1", "1_0", "ten", "\u0661", "\u00b2", "9" * 5_000]
)
def test_anything_but_a_number_within_its_bounds_is_refused(text: str) -> None:
    """Only plain digits make a number; the refusal names the parameter."""
    with pytest.raises(Problem) as caught:
        integer({"limit": text}, "limit", 1, 100, 50)
    assert (400, ["/limit"]) == (caught.value.status, [error.pointer for error in caught.value.errors])
