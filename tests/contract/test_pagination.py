"""Lists: pages by Link, and cursors that stay valid while rows are added."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from .helpers import (
    READ_PATHS,
    Body,
    Laurels,
    a_standing_scene,
    assert_problem,
    assert_status,
    award,
    award_at,
    awards_of,
    create_user,
    define_achievement,
    get,
    next_url,
    user_path,
    walk,
)


def _given_awards(laurels: Laurels, *times: str) -> tuple[str, int]:
    username = create_user(laurels)["username"]
    achievement_id = define_achievement(laurels)["achievement_id"]
    award_at(laurels, username, achievement_id, *times)
    return username, achievement_id


def _rest(laurels: Laurels, following: str | None) -> list[Body]:
    items: list[Body] = []
    while following is not None:
        page = laurels.http.get(following)
        assert_status(200, page)
        items += page.json()
        following = next_url(page)
    return items


def _days(awards: list[Body]) -> list[int]:
    return [int(award["awarded_at"][8:10]) for award in awards]


@pytest.mark.parametrize(
    "template",
    [path for path in READ_PATHS if path.endswith(("users/", "ments", "ments/"))],
)
def test_lists_are_bare_arrays(laurels: Laurels, template: str) -> None:
    """A list is a JSON array, without an envelope."""
    response = get(laurels, a_standing_scene(laurels).path(template))

    assert isinstance(response.json(), list), response.text


def test_users_are_listed_oldest_first(laurels: Laurels) -> None:
    """Walking the pages meets every user once, in the order of registration."""
    ours = [create_user(laurels) for _ in range(3)]

    listed = walk(laurels, "/users/")

    ids = [user["user_id"] for user in listed]
    assert sorted(set(ids)) == ids
    assert ours == [user for user in listed if user in ours]


def test_catalogue_is_listed_once(laurels: Laurels) -> None:
    """Walking the pages meets every achievement once."""
    ours = {define_achievement(laurels)["achievement_id"] for _ in range(3)}

    ids = [item["achievement_id"] for item in walk(laurels, "/users/achievements")]

    assert len(set(ids)) == len(ids)
    assert ours <= set(ids)


def test_catalogue_keeps_its_order(laurels: Laurels) -> None:
    """Small pages and large ones show the same order."""
    for _ in range(6):
        define_achievement(laurels)

    large = get(laurels, "/users/achievements", params={"limit": 6}).json()
    small = get(laurels, "/users/achievements", params={"limit": 3})
    following = next_url(small)

    assert following is not None
    pages = small.json() + laurels.http.get(following).json()
    assert [i["achievement_id"] for i in large] == [i["achievement_id"] for i in pages]


def test_page_has_fifty_items_by_default(laurels: Laurels) -> None:
    """Without a limit a page has 50, and the next one the rest."""
    username, _ = _given_awards(laurels, *["2024-05-01T12:00:00Z"] * 53)

    first = get(laurels, user_path(username, "/achievements/"))

    assert len(first.json()) == 50
    assert len(_rest(laurels, next_url(first))) == 3


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_add_up_to_the_list(laurels: Laurels, limit: int) -> None:
    """Whatever the limit, the pages hold each award once, in order."""
    username, _ = _given_awards(laurels, *(f"2024-05-0{day}T12:00:00Z" for day in range(1, 8)))

    paged = walk(laurels, user_path(username, "/achievements/"), params={"limit": limit})

    assert [7, 6, 5, 4, 3, 2, 1] == _days(paged)


def test_awards_of_one_moment_are_paged_once_each(laurels: Laurels) -> None:
    """Equal times neither hide nor repeat an award."""
    username, _ = _given_awards(laurels, *["2024-05-01T12:00:00Z"] * 7)

    paged = walk(laurels, user_path(username, "/achievements/"), params={"limit": 2})

    assert len({item["award_id"] for item in paged}) == len(paged) == 7
    assert awards_of(laurels, username) == paged


def test_last_page_has_no_next(laurels: Laurels) -> None:
    """A list that fits has nowhere to go on."""
    username, _ = _given_awards(laurels, "2024-05-01T12:00:00Z")

    response = get(laurels, user_path(username, "/achievements/"), params={"limit": 2})

    assert next_url(response) is None


def test_cursor_of_awards_outlives_additions(laurels: Laurels) -> None:
    """Awards made between pages neither repeat nor skip those of before."""
    times = [f"2024-05-{day:02}T12:00:00Z" for day in (10, 12, 14, 16)]
    username, achievement_id = _given_awards(laurels, *times)
    first = get(laurels, user_path(username, "/achievements/"), params={"limit": 2})

    for day in (11, 15, 20):
        award(laurels, username, achievement_id, awarded_at=f"2024-05-{day}T12:00:00Z")
    rest = _days(_rest(laurels, next_url(first)))

    assert [16, 14] == _days(first.json())
    assert [12, 10] == [day for day in rest if day in (12, 10)]
    assert not {16, 15, 14, 20} & set(rest), f"pages go back: {rest}"


def test_cursor_of_users_outlives_additions(laurels: Laurels) -> None:
    """Users registered between pages come at the end."""
    for _ in range(3):
        create_user(laurels)
    whole = get(laurels, "/users/", params={"limit": 4}).json()
    first = get(laurels, "/users/", params={"limit": 2})

    create_user(laurels)
    following = next_url(first)

    assert following is not None
    assert whole == first.json() + laurels.http.get(following).json()[:2]


def test_cursor_of_the_catalogue_outlives_additions(laurels: Laurels) -> None:
    """Achievements defined between pages neither repeat nor skip those of before."""
    before = {define_achievement(laurels)["achievement_id"] for _ in range(3)}
    first = get(laurels, "/users/achievements", params={"limit": 2})

    define_achievement(laurels)
    rest = _rest(laurels, next_url(first))

    ids = [item["achievement_id"] for item in first.json() + rest]
    assert len(set(ids)) == len(ids)
    assert before <= set(ids)


def test_cursor_can_be_used_again(laurels: Laurels) -> None:
    """A page can be asked for twice."""
    username, _ = _given_awards(laurels, *(f"2024-05-0{day}T12:00:00Z" for day in range(1, 6)))
    first = get(laurels, user_path(username, "/achievements/"), params={"limit": 2})

    once, twice = (_rest(laurels, next_url(first)) for _ in range(2))

    assert [3, 2, 1] == _days(once)
    assert once == twice


def _cursor_of(page: object) -> str:
    assert isinstance(page, str)
    return parse_qs(urlsplit(page).query)["cursor"][0]


def test_cursor_belongs_to_one_list(laurels: Laurels) -> None:
    """A cursor of one user's awards is none of another's, nor of their events, nor of another question."""
    paths = []
    for _ in range(2):
        username, _ = _given_awards(laurels, *["2024-05-01T12:00:00Z"] * 3)
        paths.append(user_path(username, "/achievements/"))
    cursor = _cursor_of(next_url(get(laurels, paths[0], params={"limit": 1})))

    assert_status(200, get(laurels, paths[0], params={"limit": 2, "cursor": cursor}))
    for path in (paths[1], paths[0].replace("/achievements/", "/events/"), "/users/", "/users/achievements"):
        assert_problem(get(laurels, path, params={"cursor": cursor}), 400, "invalid-input")


@pytest.mark.parametrize(
    "question",
    [{}, {"as_of": "2024-05-03T12:00:00Z"}, {"as_of": "2024-05-03T12:00:00Z", "mode": "current"}],
    ids=["longest", "as_of", "current"],
)
def test_made_up_cursor_is_400(laurels: Laurels, question: dict[str, str]) -> None:
    """Whatever is put into a cursor is checked: no number that the database could not hold reaches it."""
    for _ in range(2):
        _given_awards(laurels, "2024-05-02T12:00:00Z", "2024-05-03T12:00:00Z")
    path, asked = "/users/achievements-stats/streak/", {"days": "2", "limit": "1", **question}
    real = _cursor_of(next_url(get(laurels, path, params=asked)))
    digest, days, user_id = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))

    for row in ([-2147483649, 1], [2147483648, 1], [days, -1], [days, 2**63], [days, 1.5], [days], [days, user_id, 1]):
        forged = base64.urlsafe_b64encode(json.dumps([digest, *row]).encode()).decode().rstrip("=")
        assert_problem(get(laurels, path, params={**asked, "cursor": forged}), 400, "invalid-input")


def test_streaks_are_paged(laurels: Laurels) -> None:
    """Streaks are listed longest first, then lower user_id, across pages."""
    for last in (3, 4, 5, 4):
        _given_awards(laurels, *(f"2024-05-0{day}T12:00:00Z" for day in range(1, last + 1)))
    path, days = "/users/achievements-stats/streak/", {"days": 3}

    paged = walk(laurels, path, params=days | {"limit": 3})

    keys = [(-streak["streak_days"], streak["user_id"]) for streak in paged]
    assert sorted(set(keys)) == keys
    assert len(keys) >= 4
    assert min(streak["streak_days"] for streak in paged) >= 3, "days is lost between pages"
