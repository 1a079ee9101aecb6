"""The one writer over a real PostgreSQL: order, faults, clients that leave, connections that are lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from all_in_one.embedded_postgres import EmbeddedPostgres
from all_in_one.migrations import migrate
from command_api import group_commit
from command_api.answers import Answer
from command_api.group import Submission
from command_api.group_commit import FAULTS_LIMIT, Appender, DatabaseUnavailable
from command_api.schemas import bulk_command
from shared.runtime.database import OwnConnection
from tests.support.command_side import command_side, connected, held_head, until_it_waits
from tests.support.projected_log import HASTY

SECONDS = 60.0
MANY = 200
# A sequence is not rolled back, so it counts the transactions that fail.
BREAK = """
CREATE SEQUENCE attempts;
GRANT USAGE ON attempts TO laurels_command;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM nextval('attempts'); RAISE EXCEPTION 'broken' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()
"""
EVERYTHING = BREAK.format(condition="true")
BAD_NAMES = BREAK.format(condition="NEW.data ->> 'username' LIKE 'bad-%'")
MEND = "DROP TRIGGER refuse ON events"
ATTEMPTS = "SELECT last_value FROM attempts"
NAMES = "SELECT data ->> 'username' AS name FROM events ORDER BY position"
END_WRITERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[Appender, OwnConnection, str]]:
    """Run an appender over a database of its own; yield it with an owner's connection and the URL."""
    postgres = EmbeddedPostgres(folder / "data", settings=HASTY)
    url = (await postgres.start()).url
    try:
        await asyncio.to_thread(migrate, url)
        async with asyncio.timeout(SECONDS), group_commit.running(url) as (appender, _), connected(url) as admin:
            yield appender, admin, url
    finally:
        await postgres.stop()


def submission(**body: object) -> Submission:
    return Submission(bulk_command(body, {"languages": frozenset({"en"})}).command())


def user(name: str) -> Submission:
    return submission(type="create-user", username=name, user_language="en")


def statuses(answers: Sequence[Answer]) -> list[int]:
    return [answer.status for answer in answers]


async def names(admin: OwnConnection) -> list[str]:
    return [row["name"] for row in await admin.fetch(NAMES)]


async def in_one_group(
    appender: Appender, admin: OwnConnection, url: str, submissions: Sequence[Submission]
) -> list[asyncio.Task[Answer]]:
    """Submit commands that come together while a first one, of `opener`, holds the loop; return their tasks."""
    async with held_head(url):
        opener = asyncio.create_task(appender.submit(user("opener")))
        await until_it_waits(admin)
        tasks = [asyncio.create_task(appender.submit(each)) for each in submissions]
        await asyncio.sleep(0)
    assert 201 == (await opener).status
    return tasks


async def test_a_group_is_decided_in_the_order_it_came(tmp_path: Path) -> None:
    """Each command sees what those before it did, and positions follow the order of arrival."""
    commands = [
        user("ann"),
        user("ANN"),
        submission(type="change-user", username="ann", new_username="bea"),
        user("ann"),
    ]
    async with scene(tmp_path) as (appender, admin, url):
        answers = await asyncio.gather(*await in_one_group(appender, admin, url, commands))
        assert [201, 409, 200, 201] == statuses(answers)
        assert [2, None, 3, 4] == [answer.position for answer in answers]
        assert ["opener", "ann", "bea", "ann"] == await names(admin)


async def test_commands_that_cannot_be_stored_are_found(tmp_path: Path) -> None:
    """However many of a group fail for a reason of their own, the others are appended, and the service is in order."""
    wanted = [f"{'bad' if n % 20 == 7 else 'good'}-{n}" for n in range(MANY)]
    async with scene(tmp_path) as (appender, admin, _):
        await admin.execute(BAD_NAMES)
        answers = await appender.submit_many([user(name) for name in wanted])
        assert [500 if name.startswith("bad") else 201 for name in wanted] == statuses(answers)
        assert [name for name in wanted if name.startswith("good")] == await names(admin)
        assert appender.trouble is None


async def test_a_fault_that_hits_every_command_is_the_databases(tmp_path: Path) -> None:
    """Halving stops after a few commands, and the rest of the group is unavailable, until the database is mended."""
    async with scene(tmp_path) as (appender, admin, _):
        assert 201 == (await appender.submit(user("before"))).status
        await admin.execute(EVERYTHING)
        results = await asyncio.gather(
            *(appender.submit(user(f"user-{n}")) for n in range(MANY)), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, Answer)]
        unavailable = [result for result in results if isinstance(result, DatabaseUnavailable)]
        # The way down to a single command, and a few more splits to reach the others beside it.
        assert await admin.fetchval(ATTEMPTS) <= MANY.bit_length() + 2 * FAULTS_LIMIT
        assert [500] * FAULTS_LIMIT == statuses(failed)
        assert MANY - FAULTS_LIMIT == len(unavailable)
        assert appender.trouble

        await admin.execute(MEND)
        assert 201 == (await appender.submit(user("after"))).status
        assert appender.trouble is None
        assert ["before", "after"] == await names(admin)


async def test_a_client_that_left_changes_nothing_for_the_others(tmp_path: Path) -> None:
    """A command whose client is gone is decided with its group all the same, and the others get their own answers."""
    async with scene(tmp_path) as (appender, admin, url):
        async with held_head(url):
            opener = asyncio.create_task(appender.submit(user("opener")))
            await until_it_waits(admin)
            tasks = [asyncio.create_task(appender.submit(user(name))) for name in ("ann", "gone", "bea")]
            await asyncio.sleep(0)
            tasks[1].cancel()
        answers: list[Any] = await asyncio.gather(opener, *tasks, return_exceptions=True)
        assert isinstance(answers.pop(2), asyncio.CancelledError)
        assert ["opener", "ann", "bea"] == [orjson.loads(answer.body)["username"] for answer in answers]
        assert ["opener", "ann", "gone", "bea"] == await names(admin)


async def test_the_loop_goes_on_over_a_new_connection(tmp_path: Path) -> None:
    """A group whose connection is lost is unavailable as a whole and appends nothing; the next one is committed."""
    async with scene(tmp_path) as (appender, admin, url):
        async with held_head(url):
            waiting = asyncio.create_task(appender.submit(user("lost")))
            await until_it_waits(admin)
            await admin.execute(END_WRITERS)
            with pytest.raises(DatabaseUnavailable):
                await waiting
            assert appender.trouble
        assert 201 == (await appender.submit(user("next"))).status
        assert ["next"] == await names(admin)
        assert appender.trouble is None


async def test_no_client_waits_for_a_writer_that_has_ended(tmp_path: Path) -> None:
    """When the loop is cancelled, the group under way is unavailable, and what is in the queue is cancelled."""
    async with scene(tmp_path) as (_, admin, url), group_commit.running(url) as (stopped, loop):
        async with held_head(url):
            first = asyncio.create_task(stopped.submit(user("first")))
            await until_it_waits(admin)
            second = asyncio.create_task(stopped.submit(user("second")))
            await asyncio.sleep(0)
            loop.cancel()
            await asyncio.wait([loop, first, second], timeout=SECONDS)
        assert isinstance(first.exception(), DatabaseUnavailable)
        assert second.cancelled()


async def test_readiness_sees_a_database_that_fails_every_command(tmp_path: Path) -> None:
    """While the connection is in order, /ready is 503 as long as commands fail, and 200 once one is written."""
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        assert 200 == (await client.get("http://localhost/ready")).status_code
        await admin.execute(EVERYTHING)
        for number in range(FAULTS_LIMIT):
            body = {"username": f"user-{number}", "user_language": "en"}
            assert 500 == (await client.post("/users/", json=body)).status_code
        ready = await client.get("http://localhost/ready")
        assert 503 == ready.status_code
        assert "could not be written" in ready.text

        await admin.execute(MEND)
        assert 201 == (await client.post("/users/", json={"username": "after", "user_language": "en"})).status_code
        assert 200 == (await client.get("http://localhost/ready")).status_code
