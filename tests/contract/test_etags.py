"""Statistics are kept ready: they carry an ETag, and are never older than what a client was told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from .helpers import (
    FreshLaurels,
    Laurels,
    a_standing_scene,
    assert_status,
    award,
    create_user,
    define_achievement,
    eventually,
    send,
    user_path,
)

if TYPE_CHECKING:
    import httpx

STATISTICS = (
    "max-count",
    "max-points",
    "max-min-difference",
    "streak",
    "streak?days=2&mode=current",
    "max-count?include_unawarded=true",
)
PATH = "/api/v1/users/achievements-stats/"
TIMES = 60


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_that_is_known_is_not_sent_again(laurels: Laurels, statistic: str, method: str) -> None:
    """With the ETag of the answer before, the answer is 304 without a body, and still says how far it goes."""
    a_standing_scene(laurels)

    def known_again(form: str) -> tuple[httpx.Response, httpx.Response] | None:
        first = laurels.http.get(PATH + statistic)
        assert_status(200, first)
        known = form.format(first.headers["ETag"])
        again = laurels.http.request(method, PATH + statistic, headers={"If-None-Match": known})
        return (first, again) if again.status_code == 304 else None

    for form in ("{}", '"other", {}', "W/{}", "*"):
        # Other tests use the same instance, so the answer may change in between.
        found = eventually(partial(known_again, form))
        assert found, form
        first, again = found
        assert b"" == again.content
        assert first.headers["ETag"] == again.headers["ETag"]
        assert int(first.headers["Read-Position"]) <= int(again.headers["Read-Position"])


def test_another_answer_has_another_etag(fresh_laurels: FreshLaurels) -> None:
    """What has changed is sent whole to a client that knows only the answer before."""
    laurels = fresh_laurels()
    user, achievement = create_user(laurels)["username"], define_achievement(laurels)["achievement_id"]
    award(laurels, user, achievement)
    first = laurels.http.get(PATH + "max-count")
    award(laurels, user, achievement)
    second = laurels.http.get(PATH + "max-count", headers={"If-None-Match": first.headers["ETag"]})
    assert_status(200, second)
    assert first.json()["total_achievements"] + 1 == second.json()["total_achievements"]
    assert first.headers["ETag"] != second.headers["ETag"]


def test_a_page_that_follows_now_is_another_answer(fresh_laurels: FreshLaurels) -> None:
    """A page that has the same rows as before, but a next one by now, is sent whole to whoever knows it without."""
    laurels = fresh_laurels()
    achievement, page = define_achievement(laurels)["achievement_id"], PATH + "streak?days=2&limit=1"
    for position in range(2):
        user = create_user(laurels)["username"]
        for day in ("2025-06-01", "2025-06-02"):
            award(laurels, user, achievement, awarded_at=f"{day}T12:00:00Z")
        if position == 0:
            known = laurels.http.get(page)
            assert "next" not in known.links
    now = laurels.http.get(page, headers={"If-None-Match": known.headers["ETag"]})
    assert_status(200, now)
    assert known.json() == now.json()
    assert "next" in now.links
    again = laurels.http.get(page, headers={"If-None-Match": now.headers["ETag"]})
    assert_status(304, again)
    assert now.links["next"] == again.links["next"]


def test_nobody_reads_less_than_they_wrote(fresh_laurels: FreshLaurels) -> None:
    """However many read what is kept ready, whoever was told that their award is visible sees it."""
    laurels = fresh_laurels()
    user, achievement = create_user(laurels)["username"], define_achievement(laurels)["achievement_id"]
    award(laurels, user, achievement)

    def read(_number: int) -> None:
        for _ in range(TIMES):
            assert_status(200, laurels.http.get(PATH + "max-count"))

    with ThreadPoolExecutor(3) as readers:
        reading = readers.map(read, range(3))
        for _ in range(TIMES):
            written = send(laurels, "POST", user_path(user, "/achievements/"), {"achievement_id": achievement})
            seen = laurels.http.get(PATH + "max-count")
            if written.headers["Event-Applied"] == "true":
                assert int(written.headers["Event-Position"]) <= int(seen.headers["Read-Position"])
        list(reading)


def test_reads_of_different_kinds_never_go_back(fresh_laurels: FreshLaurels) -> None:
    """What is kept ready is never behind what another read said, however fast awards come in that nobody waits for."""
    laurels = fresh_laurels()
    user, achievement = create_user(laurels)["username"], define_achievement(laurels)["achievement_id"]
    award(laurels, user, achievement)
    reads = ("/api/v1/users/", PATH + "max-count", f"/api/v1/users/{user}/stats/", PATH + "streak?days=2")

    def write(_number: int) -> None:
        for _ in range(TIMES):
            path, body = user_path(user, "/achievements/"), {"achievement_id": achievement}
            send(laurels, "POST", path, body, headers={"Prefer": "respond-async"})

    with ThreadPoolExecutor(3) as writers:
        writing = writers.map(write, range(3))
        positions = [int(laurels.http.get(path).headers["Read-Position"]) for _ in range(3 * TIMES) for path in reads]
        list(writing)
    assert sorted(positions) == positions
    assert positions[0] < positions[-1], "nothing came in meanwhile"


def test_what_is_wrong_is_not_kept(fresh_laurels: FreshLaurels) -> None:
    """A 404 or a 400 carries no ETag, and gives way as soon as there is an answer."""
    laurels = fresh_laurels()
    missing = laurels.http.get(PATH + "max-count")
    assert_status(404, missing)
    assert "ETag" not in missing.headers
    assert_status(400, laurels.http.get(PATH + "streak?days=1"))
    award(laurels, create_user(laurels)["username"], define_achievement(laurels)["achievement_id"])
    assert_status(200, laurels.http.get(PATH + "max-count"))


@pytest.mark.parametrize("name", ["min_position", "min%5Fposition", "known%5Fat"])
def test_what_is_asked_about_a_position_is_not_kept(fresh_laurels: FreshLaurels, name: str) -> None:
    """However the name is written, the answer has no ETag, and a position that never comes holds up nobody else."""
    laurels = fresh_laurels()
    user, achievement = create_user(laurels)["username"], define_achievement(laurels)["achievement_id"]
    award(laurels, user, achievement)
    found = laurels.http.get(f"{PATH}max-count?{name}=1")
    assert found.status_code in {200, 404}
    assert "ETag" not in found.headers
    for _ in range(3):
        never = laurels.http.get(f"{PATH}max-count?{name}=9000000000", headers={"Prefer": "wait=0"})
        assert_status(503, never)
        written = send(laurels, "POST", user_path(user, "/achievements/"), {"achievement_id": achievement})
        seen = laurels.http.get(PATH + "max-count")
        if written.headers["Event-Applied"] == "true":
            assert int(written.headers["Event-Position"]) <= int(seen.headers["Read-Position"])
