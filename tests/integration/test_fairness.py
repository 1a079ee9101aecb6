"""Clients beside each other: who asks for much waits for itself, and is refused itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest

from command_api import group_commit, waiting
from command_api.routes.bulk.chunks import CHUNK
from tests.support.command_side import beside, command_side, connected, held_head, service_of, until_it_waits

LIMIT = 10
MORE = 5


def users(name: str, count: int) -> list[dict[str, str]]:
    return [{"type": "create-user", "username": f"{name}-{n}", "user_language": "en"} for n in range(count)]


async def ids(client: httpx.AsyncClient, commands: list[dict[str, str]]) -> list[int]:
    """Register users in bulk; return their ids, which are given in the order of the log."""
    answer = await client.post("/commands", json=commands)
    assert 200 == answer.status_code, answer.text
    return [result["body"]["user_id"] for result in answer.json()]


async def single(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/users/", json={"username": name, "user_language": "en"})


async def test_chunks_of_clients_take_turns(tmp_path: Path) -> None:
    """A client with little in bulk waits for one chunk of another's import, and not for all that came before."""
    async with command_side(tmp_path / "data") as (greedy, url), connected(url) as admin:
        other = beside(greedy, "10.0.0.2")
        async with held_head(url):
            imports = [asyncio.create_task(ids(greedy, users(f"greedy-{n}", 2 * CHUNK))) for n in range(6)]
            await until_it_waits(admin)
            # The chunk that waits for the head is the first of the import; one more of each request is in the queue.
            await until_queued(greedy, 5)
            little = asyncio.create_task(ids(other, users("little", 3)))
            await until_queued(greedy, 6)
        last = max(await little)
        await asyncio.gather(*imports)
    assert last <= 2 * CHUNK + 3


async def until_queued(client: httpx.AsyncClient, count: int) -> None:
    """Wait until so many chunks are in the queue, beside the one that is being committed."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    appender = service_of(transport.app).appender
    while len(appender._bulks) < count:
        await asyncio.sleep(0.01)


async def test_a_full_queue_is_a_503_for_who_filled_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that fills the queue of single commands is told to come back; another is served."""
    monkeypatch.setattr(group_commit, "QUEUE_LIMIT", LIMIT)
    async with command_side(tmp_path / "data") as (greedy, url), connected(url) as admin:
        other = beside(greedy, "10.0.0.2")
        async with held_head(url):
            first = asyncio.create_task(single(greedy, "first"))
            await until_it_waits(admin)
            many = [asyncio.create_task(single(greedy, f"many-{n}")) for n in range(LIMIT + MORE)]
            refused, _ = await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
            few = [asyncio.create_task(single(other, f"few-{n}")) for n in range(MORE)]
            bulk = asyncio.create_task(ids(greedy, users("bulk", 3)))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*many)
        assert 201 == (await first).status_code
        assert [201] * MORE == [answer.status_code for answer in await asyncio.gather(*few)]
        assert 3 == len(await bulk)
    assert all(task.result().status_code == 503 for task in refused)
    assert [201] * LIMIT + [503] * MORE == [answer.status_code for answer in answers]
    assert {"1"} == {answer.headers["Retry-After"] for answer in answers[LIMIT:]}


async def test_only_a_few_arrays_of_a_client_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bodies of more requests are not read until others are done; another client does not wait for them."""
    started: list[int] = []
    go_on = asyncio.Event()

    async def body(number: int) -> AsyncIterator[bytes]:
        started.append(number)
        await go_on.wait()
        yield orjson.dumps(users(f"slow-{number}", 1))

    async def send(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.post("/commands", content=body(number), headers={"Content-Type": "application/json"})

    count = waiting.ARRAYS_AT_ONCE + MORE
    async with command_side(tmp_path / "data") as (greedy, _):
        sent = [asyncio.create_task(send(greedy, number)) for number in range(count)]
        assert 3 == len(await ids(beside(greedy, "10.0.0.2"), users("other", 3)))
        assert waiting.ARRAYS_AT_ONCE == len(started)

        monkeypatch.setattr(waiting, "TURN_SECONDS", 0.05)
        late = await send(greedy, count)
        assert (503, "1") == (late.status_code, late.headers["Retry-After"])

        go_on.set()
        assert [200] * count == [answer.status_code for answer in await asyncio.gather(*sent)]
    assert list(range(count)) == sorted(started)
