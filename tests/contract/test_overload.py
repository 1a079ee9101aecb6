"""Bulk requests and single commands beside each other, from outside."""

import asyncio

import asyncpg
import httpx
import orjson

from tests.contract.helpers import API, given_a_scene
from tests.support.deployments import Laurels
from tests.support.synchronously import synchronously

BULKS, COMMANDS = 45, 500
"""More commands than may wait as single ones."""
HELD_SECONDS = 5.0
PAUSE = 0.1


def test_bulk_requests_leave_room_for_single_commands(laurels: Laurels) -> None:
    """However many bulk requests wait, single commands are taken, and in bulk nothing is refused either."""
    scene = given_a_scene(laurels)
    award = {"achievement_id": scene.achievement_id, "awarded_at": "2025-04-03T12:00:00Z"}
    commands = orjson.dumps([{"type": "award-achievement", "username": scene.username, **award}] * COMMANDS)

    async def bulk(http: httpx.AsyncClient) -> list[int]:
        response = await http.post(f"{API}/commands", content=commands, headers={"Content-Type": "application/json"})
        assert 200 == response.status_code, response.text
        return [result["status"] for result in response.json()]

    async def single(http: httpx.AsyncClient) -> int:
        return (await http.post(f"{API}/users/{scene.username}/achievements/", json=award)).status_code

    async def load() -> tuple[list[list[int]], list[int]]:
        limits = httpx.Limits(max_connections=None)
        headers = {"Prefer": "respond-async"}
        holder = await asyncpg.connect(laurels.database_url)
        async with httpx.AsyncClient(base_url=laurels.base_url, timeout=60, limits=limits, headers=headers) as http:
            # Nothing is committed meanwhile, so that the queue fills on a machine of any speed.
            await holder.execute("BEGIN; SELECT FROM log_head FOR UPDATE")
            bulks = [asyncio.create_task(bulk(http)) for _ in range(BULKS)]
            singles = []
            for _ in range(int(HELD_SECONDS / PAUSE)):
                singles.append(asyncio.create_task(single(http)))
                await asyncio.sleep(PAUSE)
            holder.terminate()
            return await asyncio.gather(*bulks), await asyncio.gather(*singles)

    in_bulk, alone = synchronously(load())

    assert [201] * len(alone) == alone
    assert [[201] * COMMANDS] * BULKS == in_bulk
