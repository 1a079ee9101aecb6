"""Connections that are slow, silent, greedy or many: each has its limit, and reaches nobody else."""

import asyncio
import contextlib
import resource
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import pytest
from fastapi import Request, Response

from command_api.routes.bulk.stream import Streamed
from shared.http.app import Serving, create_app
from shared.http.bodies import read_body, until_stopping
from shared.http.connections import RESERVED_FILES, Limits, allowed_connections
from shared.http.protection import Protection
from shared.http.responses import json_response
from shared.http.routing import Routes
from shared.http.server import bind, server
from shared.runtime.settings import Settings
from tests.hostile.raw import SECONDS, Reply, connect, hear, say, send, wait_for_end
from tests.support.processes import free_port, start

HOST = b"Host: 127.0.0.1\r\n"
FAST = b"GET /api/v1/fast HTTP/1.1\r\n" + HOST + b"\r\n"
SLOW = b"GET /api/v1/slow HTTP/1.1\r\n" + HOST + b"\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
LARGE = b"GET /api/v1/large HTTP/1.1\r\n" + HOST + b"\r\n"
BODY = b"POST /api/v1/body HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n"
LINES = b"POST /api/v1/lines HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
QUICK = Limits(
    head_seconds=0.5,
    keep_alive_seconds=0.5,
    body_seconds=0.5,
    body_bytes_per_second=100,
    unread_seconds=0.5,
    silence_seconds=0.3,
    linger_seconds=0.5,
)
IDLE_SECONDS = 0.3


@dataclass(slots=True)
class Slow:
    """How many slow requests are at work, and what lets them go on."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: int = 0


routes = Routes[Slow](tag="test")


@routes.get("/fast")
async def fast(_state: Slow, _request: Request) -> Response:
    """Answer at once."""
    return json_response(b'"fast"')


@routes.get("/slow")
async def slow(state: Slow, _request: Request) -> Response:
    """Answer when the test says so."""
    state.at_work += 1
    await state.go_on.wait()
    return json_response(b'"slow"')


@routes.get("/large")
async def large(_state: Slow, _request: Request) -> Response:
    """Answer with more than the buffers on the way take."""
    return json_response(b'"' + b"l" * 50_000_000 + b'"')


@routes.post("/body")
async def body(_state: Slow, request: Request) -> Response:
    """Answer with the length of the body."""
    return json_response(b"%d" % len(await read_body(request, 10_000)))


@routes.post("/headers")
async def headers(_state: Slow, request: Request) -> Response:
    """Answer with the names of the headers that there are after the body."""
    await read_body(request, 10_000)
    return json_response(orjson.dumps([name.decode() for name, _ in request.scope["headers"]]))


@routes.post("/lines")
async def lines(_state: Slow, request: Request) -> Response:
    """Give back what comes."""
    return Streamed(until_stopping(request, IDLE_SECONDS), {})


@contextlib.asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[tuple[int, Slow]]:
    """Serve the routes above; yield the port, and how many slow requests are at work and what lets them go on."""
    settings = Settings(_env_file=None, port=0)
    state = Slow()
    app = create_app(lambda _app: contextlib.nullcontext(Serving(routes.bound_to(state))), Protection(settings))
    listener = bind(settings)
    running = server(app, limits)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    await running.serving.wait()
    try:
        yield listener.getsockname()[1], state
    finally:
        state.go_on.set()
        running.stop()
        await task


async def until_closed(port: int, *parts: bytes) -> Reply:
    """Send, and read until the server closes."""

    def ask() -> Reply:
        with connect(port) as connection:
            send(connection, parts)
            return wait_for_end(connection)

    return await asyncio.to_thread(ask)


async def answer(port: int, raw: bytes = FAST, source: str = "127.0.0.1") -> Reply:
    """Ask over a connection of its own."""

    def ask() -> Reply:
        with connect(port, source) as connection:
            send(connection, [raw])
            return hear(connection)

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("head", [b"G", FAST[:-2], FAST[:30]])
async def test_half_a_head_is_408(head: bytes) -> None:
    """A head that does not come whole is refused in time."""
    async with serving(QUICK) as (port, _):
        reply = await until_closed(port, head)

    reply.assert_problem(408)
    assert reply.closed


@pytest.mark.parametrize(("sent", "answers"), [(b"", 0), (FAST, 1)])
async def test_silent_connections_are_closed(sent: bytes, answers: int) -> None:
    """A connection that says nothing, at first or after an answer, is closed without a word."""
    async with serving(QUICK) as (port, _):
        reply = await until_closed(port, sent)

    assert reply.closed
    assert answers == reply.raw.count(b"HTTP/1.1")


async def test_a_body_that_stops_is_408() -> None:
    """A body that comes too slowly is refused, whoever waits for it."""
    async with serving(QUICK) as (port, _):
        reply = await until_closed(port, BODY, b"x" * 10)

    reply.assert_problem(408)
    assert reply.closed


async def test_a_body_at_its_pace_is_read() -> None:
    """A slow line is no attack: the pace is that of the whole body."""
    async with serving(QUICK) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BODY)
        for _ in range(10):
            await asyncio.sleep(0.15)  # ten parts in one and a half seconds, which a silent client does not have
            writer.write(b"x" * 100)
        reply = await asyncio.wait_for(reader.readuntil(b"1000"), SECONDS)
        writer.close()

    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_silent_streams_get_a_last_word() -> None:
    """A stream of lines that says nothing any more is told why it ends, after all that it was answered."""
    async with serving(QUICK) as (port, _):
        reply = await until_closed(port, LINES, b"5\r\nline\n\r\n")

    head, _, chunks = reply.raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert chunks.startswith(b"5\r\nline\n\r\n")
    last = orjson.loads(chunks.split(b"\r\n")[3])
    assert (408, 408) == (last["status"], last["problem"]["status"])
    assert chunks.endswith(b"0\r\n\r\n")
    assert reply.closed


async def test_trailers_are_no_headers() -> None:
    """A trailer is dropped, so that nothing that was checked changes afterwards."""
    async with serving(QUICK) as (port, _):
        asked = LINES.replace(b"/lines", b"/headers") + b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        reply = await answer(port, asked)

    assert reply.raw.endswith(b'["host","transfer-encoding"]')


async def test_answers_that_are_not_read_are_dropped() -> None:
    """A client that does not read its answer does not keep it here."""
    async with serving(QUICK) as (port, _):
        with connect(port) as connection:
            send(connection, [LARGE])
            assert await asyncio.to_thread(connection.recv, 1)
            await closed(port)


async def closed(port: int) -> None:
    """Wait until the server has no connection any more."""
    async with asyncio.timeout(SECONDS):
        while any(  # noqa: ASYNC110 - the kernel's doing
            found.laddr.port == port and found.status == psutil.CONN_ESTABLISHED
            for found in psutil.Process().net_connections("tcp")
            if found.laddr
        ):
            await asyncio.sleep(0.05)


async def test_pipelined_requests_are_answered_in_order_and_bounded() -> None:
    """A flood of requests without waiting is answered up to a limit, and what was refused comes last."""
    async with serving(Limits(pipelined=8)) as (port, state):
        asking = asyncio.create_task(until_closed(port, SLOW + FAST * 5000))
        assert 200 == (await answer(port)).status
        state.go_on.set()
        reply = await asking

    answers = reply.raw.split(b"HTTP/1.1 ")[1:]
    assert answers[0].endswith(b'"slow"')
    assert [b"200"] * (len(answers) - 1) + [b"429"] == [answer[:3] for answer in answers]
    assert len(answers) <= 10
    assert reply.closed


async def test_what_is_malformed_is_refused_after_what_came_before() -> None:
    """A refusal never stands between the parts of an earlier answer, nor before it."""
    async with serving(QUICK) as (port, state):
        asking = asyncio.create_task(until_closed(port, SLOW + b"\x00noise\r\n\r\n"))
        assert 200 == (await answer(port)).status
        state.go_on.set()
        reply = await asking

    answers = reply.raw.split(b"HTTP/1.1 ")[1:]
    assert [b"200", b"400"] == [answer[:3] for answer in answers]
    assert answers[0].endswith(b'"slow"')


async def test_who_has_most_connections_loses_its_own() -> None:
    """A client that fills the server up is the one whose connections are closed for others, even if all are at work."""
    async with serving(Limits(connections=16)) as (port, _), contextlib.AsyncExitStack() as stack:
        modest = [stack.enter_context(connect(port, "127.0.0.3")) for _ in range(4)]
        for connection in modest:
            send(connection, [SLOW])
        greedy = [stack.enter_context(connect(port, "127.0.0.2")) for _ in range(30)]
        for connection in greedy:
            send(connection, [SLOW])
        replies = [await answer(port, source="127.0.0.4") for _ in range(5)]
        for connection in modest:
            connection.settimeout(0)
            with pytest.raises(BlockingIOError):  # neither closed nor answered
                connection.recv(1)

    assert [200] * 5 == [reply.status for reply in replies]


async def test_idle_connections_shut_nobody_out() -> None:
    """Behind a gateway all have one address: who comes takes the place of what has waited longest."""
    async with serving(Limits(connections=16)) as (port, _), contextlib.AsyncExitStack() as stack:
        for _ in range(200):
            send(stack.enter_context(connect(port)), [b"GET /half"])
        replies = [await answer(port) for _ in range(20)]

    assert [200] * 20 == [reply.status for reply in replies]


async def test_a_server_whose_connections_are_all_at_work_says_so() -> None:
    """Where there is nothing to close but what its own client asked for, the newcomer is told to come again."""
    async with serving(Limits(connections=4)) as (port, state), contextlib.AsyncExitStack() as stack:
        at_work = [stack.enter_context(connect(port)) for _ in range(4)]
        for connection in at_work:
            send(connection, [SLOW])
        async with asyncio.timeout(SECONDS):
            while state.at_work < 4:  # noqa: ASYNC110 - the routes' doing
                await asyncio.sleep(0.01)
        refused = await answer(port)
        state.go_on.set()
        replies = [await asyncio.to_thread(hear, connection) for connection in at_work]

    refused.assert_problem(503)
    assert "1" == refused.header("retry-after")
    assert [200] * 4 == [reply.status for reply in replies]


def test_connections_leave_room_for_other_files() -> None:
    """The limit of open files is raised as far as it goes, and the number of connections follows from it."""
    limit = allowed_connections(Limits(connections=10**9))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    assert soft - RESERVED_FILES == limit
    assert 7 == allowed_connections(Limits(connections=7))


def test_few_file_descriptors_shut_nobody_out(tmp_path: Path) -> None:
    """With 256 files, 400 connections that only wait keep nobody from being served, and the database from nothing."""
    prlimit = shutil.which("prlimit")
    laurels = shutil.which("laurels", path=str(Path(sys.executable).parent))
    assert prlimit
    assert laurels
    environment = {"LAURELS_DATA_DIR": str(tmp_path / "data")}
    command = [prlimit, "--nofile=256", laurels, "up"]
    service = start("up", command, environment=environment, folder=tmp_path, port=free_port())
    try:
        service.wait_until_ready()
        with contextlib.ExitStack() as stack:
            for number in range(400):
                send(stack.enter_context(connect(service.port)), [b"GET /ha" if number % 2 else b""])
            replies = [say(service.port, raw) for raw in (HEALTH, HEALTH.replace(b"health", b"ready")) * 10]
    finally:
        service.stop()

    assert [200] * 20 == [reply.status for reply in replies]
