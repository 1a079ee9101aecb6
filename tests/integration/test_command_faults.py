"""A command that cannot be decided, recorded, answered or stored for a reason of its own, among others that can."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fastapi import Response

from shared.http.app import Serving, create_app
from shared.http.protection import Protection
from shared.http.routing import PREFIX, Route
from shared.runtime.database import OwnConnection
from shared.runtime.settings import Settings
from tests.support.command_side import command_side, connected, held_head, until_it_waits

HEALTHY = 240
BREAK_USER = "UPDATE write_model.users SET user_timezone = 'Nowhere/Land' WHERE username = 'broken'"
MEND_USER = "UPDATE write_model.users SET user_timezone = 'UTC' WHERE username = 'broken'"
# An achievement whose own text is missing can be awarded, but not shown. The catalogue is read again when it changed.
BREAK_ACHIEVEMENT = """
UPDATE write_model.achievements SET achievement_language = 'xx', changed_position = changed_position + 1;
UPDATE log_head SET catalogue_position = catalogue_position + 1
"""
BREAK_STORAGE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no such thing' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW
WHEN (NEW.data ->> 'username' = 'broken') EXECUTE FUNCTION refuse()
"""
POSITIONS = "SELECT position FROM events ORDER BY position"

Body = dict[str, Any]


async def scene(client: httpx.AsyncClient) -> None:
    """Register a user who stays healthy and one who is to be broken, and define an achievement."""
    achievement = {"achievement_name": "First run", "achievement_description": "", "achievement_language": "en"}
    commands = [*map(user, ("healthy", "broken")), {"type": "define-achievement", **achievement}]
    assert [201] * 3 == [result["status"] for result in await bulk(client, commands)]


def user(name: str) -> Body:
    return {"type": "create-user", "username": name, "user_language": "ru"}


def award(name: str) -> Body:
    return {"type": "award-achievement", "username": name, "achievement_id": 1}


async def bulk(client: httpx.AsyncClient, commands: Sequence[Body], form: str = "json") -> list[Body]:
    """Send commands as an array or as lines; return the results."""
    content = orjson.dumps(commands) if form == "json" else b"\n".join(map(orjson.dumps, commands))
    answer = await client.post("/commands", content=content, headers={"Content-Type": f"application/{form}"})
    assert 200 == answer.status_code, answer.text
    results: list[Body] = answer.json() if form == "json" else [orjson.loads(line) for line in answer.text.splitlines()]
    return results


def assert_is_a_fault(problem: Body, caplog: pytest.LogCaptureFixture) -> None:
    """See that the problem tells nothing but its id, and that the log has what it is about under that id."""
    assert {"type", "title", "status", "detail", "instance"} == set(problem)
    assert ("urn:laurels:internal-error", 500) == (problem["type"], problem["status"])
    assert problem["instance"].startswith("urn:uuid:")
    logged = [record for record in caplog.records if problem["instance"] in record.getMessage()]
    assert [True] == [record.exc_info is not None for record in logged]


async def assert_nothing_is_half_done(admin: OwnConnection, client: httpx.AsyncClient, events: int) -> None:
    """See that the log has just these events, without a gap, and goes on."""
    assert list(range(1, events + 1)) == [row["position"] for row in await admin.fetch(POSITIONS)]
    assert [201] == [result["status"] for result in await bulk(client, [user("later")])]


async def test_a_single_command_that_cannot_be_decided_fails_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One user with a time zone unknown to the process: that award is a 500, the others of its group are 201."""
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        await scene(client)
        await admin.execute(BREAK_USER)
        names = [*["healthy"] * (HEALTHY // 2), "broken", *["healthy"] * (HEALTHY // 2)]
        async with held_head(url):
            opener = asyncio.create_task(client.post("/users/healthy/achievements/", json={"achievement_id": 1}))
            await until_it_waits(admin)
            # While that waits for the head, these come together in the group after it.
            awards = [
                asyncio.create_task(client.post(f"/users/{name}/achievements/", json={"achievement_id": 1}))
                for name in names
            ]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*awards)
        assert [201 if name == "healthy" else 500 for name in names] == [answer.status_code for answer in answers]
        assert 201 == (await opener).status_code
        (failed,) = (answer for answer in answers if answer.status_code == 500)
        assert "application/problem+json" == failed.headers["Content-Type"]
        assert_is_a_fault(failed.json(), caplog)
        await assert_nothing_is_half_done(admin, client, 3 + 1 + HEALTHY)


@pytest.mark.parametrize("form", ["json", "x-ndjson"])
@pytest.mark.parametrize(
    ("breakage", "bad"),
    [(BREAK_USER, award("broken")), (BREAK_STORAGE, {"type": "change-user", "username": "broken"})],
    ids=["decision", "storage"],
)
async def test_a_command_in_bulk_that_cannot_be_decided_or_stored_fails_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str, breakage: str, bad: Body
) -> None:
    """What one command of a bulk request runs into is its own result; those before and after it are done."""
    if bad["type"] == "change-user":
        bad |= {"user_language": "en"}
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        await scene(client)
        await admin.execute(breakage)
        commands = [award("healthy")] * HEALTHY
        commands.insert(7, bad)
        results = await bulk(client, commands, form)
        assert [500 if command is bad else 201 for command in commands] == [result["status"] for result in results]
        assert_is_a_fault(results[7]["problem"], caplog)
        await assert_nothing_is_half_done(admin, client, 3 + HEALTHY)


async def test_a_command_that_cannot_be_answered_is_not_recorded(tmp_path: Path) -> None:
    """Nothing of an award whose answer cannot be made stays in the state: the next command gets its position."""
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        await scene(client)
        await admin.execute(BREAK_ACHIEVEMENT)
        results = await bulk(client, [user("before"), award("healthy"), user("after")])
        assert [201, 500, 201] == [result["status"] for result in results]
        assert [3, 4] == [results[place]["body"]["user_id"] for place in (0, 2)]
        await assert_nothing_is_half_done(admin, client, 5)


async def test_a_fault_is_not_remembered(tmp_path: Path) -> None:
    """Once what was broken is mended, the same Idempotency-Key is decided anew, and then remembered."""
    async with command_side(tmp_path / "data") as (client, url), connected(url) as admin:
        await scene(client)
        headers = {"Idempotency-Key": "a-1"}

        async def send() -> httpx.Response:
            return await client.post("/users/broken/achievements/", json={"achievement_id": 1}, headers=headers)

        await admin.execute(BREAK_USER)
        broken = [await send(), await send()]
        await admin.execute(MEND_USER)
        mended, again = await send(), await send()
    assert [500, 500, 201, 201] == [answer.status_code for answer in (*broken, mended, again)]
    assert broken[0].json()["instance"] != broken[1].json()["instance"]
    assert "Idempotency-Replayed" not in mended.headers
    assert "true" == again.headers["Idempotency-Replayed"]


async def test_whatever_a_route_raises_is_logged_under_the_id_that_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault outside of commands has an id as well, and the connection is not used again."""

    async def fails(_request: object) -> Response:
        raise LookupError("secret")

    app = create_app(lambda _app: pytest.fail("it is not started"), Protection(Settings(_env_file=None)))
    app.serve(Serving([Route(f"{PREFIX}/fails", fails)]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost{PREFIX}") as client:
        answer = await client.get("/fails")
    assert_is_a_fault(answer.json(), caplog)
    assert "secret" not in answer.text
    assert "close" == answer.headers["Connection"]
