"""Commands in bulk, when the database refuses one chunk of them, or the client goes."""

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
import pytest

from command_api.routes.bulk.chunks import CHUNK
from tests.support.command_side import command_side, connected, held_head, until_it_waits

# A chunk with a certain user finds the disk full, which passes: a producer comes again.
BREAK = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW
WHEN (NEW.data ->> 'username' = 'breaks') EXECUTE FUNCTION refuse()
"""
MEND = "DROP TRIGGER refuse ON events"
EVENTS = "SELECT count(*) FROM events"


def users(*names: str) -> list[dict[str, str]]:
    return [{"type": "create-user", "username": name, "user_language": "en"} for name in names]


def chunk(name: str) -> list[dict[str, str]]:
    """Return a chunk of users of their own."""
    return users(*(f"{name}-{number}" for number in range(CHUNK)))


async def statuses(client: httpx.AsyncClient, asked: list[dict[str, str]], form: str) -> list[int]:
    """Send commands as an array or as lines, under one key for all; return what became of each."""
    body = orjson.dumps(asked) if form == "json" else b"\n".join(map(orjson.dumps, asked))
    headers = {"Content-Type": f"application/{form}", "Idempotency-Key": asked[0]["username"]}
    answer = await client.post("/commands", content=body, headers=headers)
    assert 200 == answer.status_code, answer.text
    results = answer.json() if form == "json" else map(orjson.loads, answer.text.splitlines())
    return [result["status"] for result in results]


@pytest.mark.parametrize("form", ["json", "x-ndjson"])
async def test_after_a_chunk_that_is_not_taken_none_is(tmp_path: Path, form: str) -> None:
    """What precedes it is done, what follows is refused untried, and all of it can be sent again."""
    asked = [*chunk("first"), *chunk("second")[1:], *users("breaks"), *chunk("third"), *chunk("fourth")]

    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        await admin.execute(BREAK)
        broken = await statuses(client, asked, form)
        kept = await admin.fetchval(EVENTS)
        await admin.execute(MEND)
        mended = await statuses(client, asked, form)
        whole = await admin.fetchval(EVENTS)

    assert [201] * CHUNK + [503] * 3 * CHUNK == broken
    assert CHUNK == kept
    assert [201] * 4 * CHUNK == mended
    assert 4 * CHUNK == whole


async def test_a_client_that_leaves_takes_its_next_chunks_along(tmp_path: Path) -> None:
    """The chunk that is being committed is committed whole, those after it never, and others are served."""
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        async with held_head(url):
            leaves = asyncio.create_task(statuses(client, [*chunk("first"), *chunk("second"), *chunk("third")], "json"))
            await until_it_waits(admin)
            leaves.cancel()
            with suppress(asyncio.CancelledError):
                await leaves
        assert [201] == await statuses(client, users("next"), "json")
        assert CHUNK + 1 == await admin.fetchval(EVENTS)
