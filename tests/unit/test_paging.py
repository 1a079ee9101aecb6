"""Pages of a list: limits, cursors, and the link from one page to the next."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from query_api.paging import ID, List, Page, instant, whole
from query_api.parameters import CURSOR, DAYS, LIMIT, MIN_POSITION, MODE
from shared.http.parameters import Given, Parameters
from shared.http.problems import Problem

USERS = List("users", (ID,))
AWARDS = List("awards", (instant, ID))
STREAKS = List("streaks", (whole(2**31 - 1), ID))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the zone follows
IDS = st.integers(1, 2**53 - 1)


DECLARED = Parameters(LIMIT, CURSOR, DAYS, MODE, MIN_POSITION)


def link(pages: List, path: str, parameters: dict[str, str], after: Sequence[Any], *about: str) -> str:
    return pages.next_link(
        Request({"type": "http", "path": path, "headers": []}), DECLARED.parsed(parameters), after, *about
    )


def query_of(header: str) -> dict[str, str]:
    target, _, relation = header.partition("; ")
    assert 'rel="next"' == relation
    return dict(parse_qsl(urlsplit(target.strip("<>")).query, keep_blank_values=True))


def given_cursor(pages: List, after: Sequence[Any], *about: str, **parameters: str) -> str:
    """Return the cursor that a list gave."""
    return query_of(link(pages, "/list", parameters, after, *about))["cursor"]


def decoded(cursor: str) -> list[Any]:
    found: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def status(pages: List, cursor: str, *about: str, **parameters: str) -> int:
    """Say what a cursor is answered with."""
    try:
        pages.page(DECLARED.parsed({**parameters, "cursor": cursor}), *about)
    except Problem as problem:
        return problem.status if ["/cursor"] == [error.pointer for error in problem.errors] else 0
    return 200


def test_the_first_page_has_fifty_rows() -> None:
    """Without parameters a page begins at the beginning."""
    assert Page(50, None) == USERS.page(Given({}))


@given(MOMENTS, IDS, st.integers(1, 100))
def test_a_link_leads_on_from_the_last_row(moment: datetime, row_id: int, limit: int) -> None:
    """The cursor of a link gives back the sort key, whatever its values, and the other parameters stay."""
    given_parameters = {"limit": str(limit), "mode": "current"}
    query = query_of(link(AWARDS, "/users", given_parameters, (moment.isoformat(), row_id), "ada"))
    assert Page(limit, [moment, row_id]) == AWARDS.page(DECLARED.parsed(query), "ada")
    assert given_parameters == {name: query[name] for name in given_parameters}


def test_a_link_replaces_the_cursor() -> None:
    """The next page follows this one, not the one before."""
    query = query_of(link(USERS, "/users", {"cursor": given_cursor(USERS, [1])}, [2]))
    assert Page(50, [2]) == USERS.page(DECLARED.parsed(query))


def test_a_link_can_be_followed() -> None:
    """A path with any script and any signs becomes a valid URL of the same path."""
    target = link(USERS, '/users/Боб "x">/achievements', {}, [1]).partition(">")[0].removeprefix("<")
    assert urlsplit(target).path == "/users/%D0%91%D0%BE%D0%B1%20%22x%22%3E/achievements/"


def test_a_page_may_be_larger_than_the_one_before() -> None:
    """What does not change which rows there are does not make another list."""
    cursor = given_cursor(STREAKS, [9, 1], days="7", limit="10")
    assert 200 == status(STREAKS, cursor, days="7", limit="20", min_position="5")


def test_a_cursor_belongs_to_its_list() -> None:
    """A cursor of another list, of another user or of another question is refused."""
    assert 400 == status(USERS, given_cursor(List("achievements", (ID,)), [1]))
    assert 400 == status(AWARDS, given_cursor(AWARDS, ["2024-01-01T00:00:00Z", 1], "ada"), "bob")
    assert 400 == status(STREAKS, given_cursor(STREAKS, [9, 1], days="7"), days="8")
    assert 400 == status(STREAKS, given_cursor(STREAKS, [9, 1], mode="current"))


@pytest.mark.parametrize(
    "row",
    [
        *[[], [1], [1, 2, 3], ["9", 1], [9.0, 1], [True, 1], [None, 1], [0, 1], [-(2**31) - 1, 1], [2**31, 1]],
        *[[9, 0], [9, -1], [9, 2**53], [9, 2**63], [9, 10**30], [9, "1"], [9, [1]], [9, {}]],
    ],
    ids=repr,
)
def test_a_place_where_no_row_can_be_is_refused(row: list[Any]) -> None:
    """Whoever makes a cursor up finds every value of it checked."""
    question = decoded(given_cursor(STREAKS, [9, 1]))[0]
    assert 200 == status(STREAKS, encoded([question, 9, 1]))
    assert 400 == status(STREAKS, encoded([question, *row]))


@pytest.mark.parametrize(
    "moment",
    ["", "yesterday", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2024-01-01\0", "2" * 10_000, 1, None],
)
def test_a_moment_that_no_award_can_have_is_refused(moment: object) -> None:
    """The instant of a cursor is checked as any other is."""
    question = decoded(given_cursor(AWARDS, ["2024-01-01T00:00:00Z", 1], "ada"))[0]
    assert 400 == status(AWARDS, encoded([question, moment, 1]), "ada")


@pytest.mark.parametrize(
    "cursor",
    [
        *["", "?", "é", "AAAAA", "////", base64.urlsafe_b64encode(b"\xff").decode()],
        *[encoded(None), encoded({}), encoded([]), encoded(["users"]), encoded(["users", 1]), encoded([[], 1])],
        base64.urlsafe_b64encode(b"[" * 5_000).decode(),
        given_cursor(USERS, [1]) + "A" * 5_000,
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    """A cursor is made by this list for this list; anything else is 400."""
    assert 400 == status(USERS, cursor)


@given(st.text(max_size=60))
def test_any_cursor_is_read_or_refused(text: str) -> None:
    """No cursor raises anything but a 400."""
    assert status(USERS, text) in {200, 400}
