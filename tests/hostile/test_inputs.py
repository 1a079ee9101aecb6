"""Whatever is sent within the limits: a documented answer, no stall, no growth, no echo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.contract.helpers import API, a_standing_scene, assert_problem
from tests.hostile.inputs import MIB, NDJSON, Input, everything
from tests.support.deployments import Laurels, embedded
from tests.support.stalls import probing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

STALL_SECONDS = 0.5
"""Ten times what no input may take."""
GROWTH = 256 * MIB
ANSWER = 32 * MIB


def _statuses(request: Input, response: httpx.Response) -> Iterator[int]:
    """Yield the statuses of the commands of a bulk request."""
    if request.media_type == NDJSON:
        yield from (json.loads(line)["status"] for line in response.iter_lines())
    else:
        yield from (result["status"] for result in response.json())


@pytest.mark.xdist_group("hostile")
def test_no_input_is_any_matter(tmp_path: Path) -> None:
    """Every input of the corpus gets its refusal, short, while others are served and memory stays what it was."""
    with embedded(tmp_path, {}) as laurels, probing(laurels.services["up"][0]) as probe:
        scene = a_standing_scene(laurels)
        process = psutil.Process(laurels.services["up"][0].process.pid)
        before = process.memory_info().rss
        found: list[str] = []
        for name, hostile in everything(scene.username, scene.achievement_id, scene.award_id):
            response = laurels.http.request(
                hostile.method,
                API + hostile.path,
                content=hostile.body,
                headers={"Content-Type": hostile.media_type},
                timeout=60,
            )
            stall, growth = probe.longest(), process.memory_info().rss - before
            if response.status_code not in hostile.statuses or len(response.content) > ANSWER:
                found.append(f"{name}: {response.status_code} {len(response.content)} bytes {response.text[:200]}")
            elif response.status_code == 200 and not set(_statuses(hostile, response)) <= set(hostile.results):
                found.append(f"{name}: {set(_statuses(hostile, response))}")
            elif response.status_code >= 400:
                assert_problem(response, response.status_code)
                assert len(response.content) < 8_000, name
            if stall > STALL_SECONDS:
                found.append(f"{name}: nobody else was served for {stall:.3f} s")
            if growth > GROWTH:
                found.append(f"{name}: {growth / MIB:.0f} MiB more than at first")
        assert not found, found


@pytest.mark.parametrize(
    "path",
    [
        *[f"/users/{segment}/" for segment in ("a" * 8_000, "%CC%81%CC%96" * 2_500, "%EF%B7%BA" * 3_000)],
        *[f"/users/achievements/{segment}" for segment in ("9" * 8_000, "%D9%A1", "0x1", "1e0", "+1", "%201")],
        *[f"/users/?{name}={value * 8_000}" for name in ("limit", "cursor", "min_position") for value in "9A"],
        *[f"/users/?{query}" for query in ("&a=1" * 2_000, "=" * 8_000, "&" * 8_000)],
        *[f"/users/?min_position={value}" for value in (2**53, 2**63, 2**64, "-1", "%2B1", "1_0", "٣")],
        *[
            f"/users/achievements-stats/streak/?mode={mode}&{name}={moment}"
            for mode in ("longest", "current")
            for name in ("as_of", "known_at")
            for moment in (
                "0001-01-01T00:00:00Z",
                "0001-01-01T00:00:00%2B23:59",
                "9999-12-31T23:59:59.999999Z",
                "9999-12-31T23:59:59-23:59",
                "9007199254740991",
                "9007199254740992",
                "2024-01-01T00:00:00." + "0" * 7_000 + "Z",
            )
        ],
        *[
            f"/users/achievements-stats/{statistic}/?{name}={moment}"
            for statistic in ("max-count", "max-min-difference")
            for name in ("as_of", "known_at")
            for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01")
        ],
    ],
    ids=lambda path: path[:70],
)
def test_no_path_or_query_breaks_a_read(laurels: Laurels, path: str) -> None:
    """The ends of the calendar, of numbers and of names are answered, or refused, and never by a fault."""
    response = laurels.http.get(API + path, headers={"Prefer": "wait=0"})

    assert response.status_code in {200, 400, 404, 414, 503}, response.text
    if response.status_code != 200:
        problem = assert_problem(response, response.status_code)
        assert response.status_code != 503 or problem["type"].endswith(":behind"), problem
