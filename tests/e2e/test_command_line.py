"""The command line as scripts and people use it: JSON, versions, completion, ports, and questions before a loss."""

import json
import os
import pty
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import asyncpg
import httpx
import pytest

from shared.http.api_map import document
from tests.support.deployments import Laurels, embedded, fetch
from tests.support.operators import generations, given_history
from tests.support.processes import ROOT, free_port, run, start
from tests.support.synchronously import synchronously

pytestmark = pytest.mark.xdist_group("command line")

ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)
QUARANTINE = """
INSERT INTO quarantine (generation, partition, kafka_offset, record, error, applied)
SELECT generation, 0, 7, '\\xff7b'::bytea, 'not an event', true FROM generations WHERE state = 'live'
"""


@pytest.fixture(scope="module")
def laurels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laurels]:
    """Run an embedded instance with some awards and two records in quarantine."""
    with embedded(tmp_path_factory.mktemp("command-line"), {}) as instance:
        given_history(instance, users=5, awards=20)
        for _ in range(2):
            execute(instance, QUARANTINE)
        yield instance


def execute(laurels: Laurels, statement: str) -> None:
    async def done() -> None:
        connection = await asyncpg.connect(laurels.database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    synchronously(done())


def documented() -> Mapping[str, set[str]]:
    """Return the members that docs/operations.md names for each command, those of its nested objects left out."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = {command: re.sub(r"\([^)]*\)", "", members) for command, members in ROW.findall(text)}
    return {command: set(re.findall(r"`(\w+)`", members)) for command, members in found.items()}


def printed(laurels: Laurels, *arguments: str) -> Any:  # noqa: ANN401 - JSON is anything
    done = laurels.operate(*arguments, "--json")
    assert 0 == done.returncode, done.stderr
    assert 1 == len(done.stdout.splitlines())
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("status", []),
        ("verify", []),
        ("rebuild", ["--dry-run"]),
        ("rebuild --drop", ["--yes"]),
        ("what-if", ["--timezone", "Asia/Tokyo"]),
        ("quarantine list", ["--limit", "1"]),
        ("demo", []),
    ],
)
def test_json_has_the_documented_members(laurels: Laurels, command: str, arguments: list[str]) -> None:
    """Each command prints one line of JSON with the members that docs/operations.md names, and nothing else."""
    assert documented()[command] == set(printed(laurels, *command.split(), *arguments))


def test_a_rebuild_and_a_rollback_tell_their_generations(laurels: Laurels) -> None:
    """What was served and what is on standby can be read by a program."""
    before = printed(laurels, "status")["generation"]
    rebuilt = printed(laurels, "rebuild")
    back = printed(laurels, "rollback")

    assert (True, [before], 0) == (rebuilt["switched"], rebuilt["standby"], rebuilt["verification"]["drift"])
    assert {"load", "index", "verify", "catch up", "switch"} == set(rebuilt["seconds"])
    assert {"live": before, "standby": rebuilt["generation"]} == back
    assert documented()["rollback"] == set(back)


def test_a_record_in_quarantine_is_json(laurels: Laurels) -> None:
    """Pages name where the next begins, and bytes that are no text are escaped."""
    page = printed(laurels, "quarantine", "list", "--limit", "1")
    (first,) = page["records"]
    rest = printed(laurels, "quarantine", "list", "--after", str(page["next_after"]))
    shown = printed(laurels, "quarantine", "show", str(first["quarantine_id"]))

    assert page["next_after"] == first["quarantine_id"]
    assert (1, None) == (len(rest["records"]), rest["next_after"])
    assert ("\\xff{", "not an event", 7) == (shown["record"], shown["error"], shown["kafka_offset"])
    assert {*first, "record"} == set(shown)


QUESTIONS = [
    ["quarantine", "drop", "1"],
    ["rebuild", "--drop"],
    ["rebuild", "--keep", "0"],
    ["restore", "log.zst"],
    ["republish"],
]


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_without_a_terminal_nothing_is_lost_unasked(laurels: Laurels, arguments: list[str]) -> None:
    """What cannot be undone needs --yes in a script: one sentence and exit code 2, and nothing has changed."""
    before = state(laurels)
    done = run(["laurels", *arguments], environment=with_a_topic(laurels))
    assert (2, "") == (done.returncode, done.stdout)
    assert "say --yes" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert before == state(laurels)


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_a_no_changes_nothing(laurels: Laurels, arguments: list[str]) -> None:
    """On a terminal it is asked, and anything but a yes leaves everything as it was."""
    before = state(laurels)
    done = on_a_terminal("n\n", arguments, with_a_topic(laurels))
    assert 1 == done.returncode
    assert "This cannot be undone. [y/N]" in done.stderr
    assert "Nothing has changed." in done.stderr
    assert before == state(laurels)


def test_a_yes_goes_on(laurels: Laurels) -> None:
    """The answer on a terminal does what --yes does."""
    execute(laurels, QUARANTINE)
    *_, last = (row["quarantine_id"] for row in fetch(laurels, "SELECT quarantine_id FROM quarantine ORDER BY 1"))
    done = on_a_terminal("y\n", ["quarantine", "drop", str(last)], laurels.environment)
    assert 0 == done.returncode, done.stderr
    assert [] == fetch(laurels, f"SELECT FROM quarantine WHERE quarantine_id = {last}")


def test_a_dry_run_is_not_asked_about(laurels: Laurels) -> None:
    """It keeps what is served, so there is nothing to lose."""
    assert 0 == laurels.operate("rebuild", "--keep", "0", "--dry-run").returncode


def state(laurels: Laurels) -> object:
    records = [row["quarantine_id"] for row in fetch(laurels, "SELECT quarantine_id FROM quarantine ORDER BY 1")]
    epoch = fetch(laurels, "SELECT epoch FROM write_model.relay_lease")[0]["epoch"]
    return generations(laurels), records, epoch


def with_a_topic(laurels: Laurels) -> Mapping[str, str]:
    return {**laurels.environment, "LAURELS_TRANSPORT": "kafka"}


def on_a_terminal(answer: str, arguments: list[str], environment: Mapping[str, str]) -> CompletedProcess[str]:
    """Run a command whose standard input is a terminal on which this is typed."""
    with terminal(answer) as stdin:
        return run(["laurels", *arguments], environment=environment, stdin=stdin)


@contextmanager
def terminal(typed: str) -> Iterator[int]:
    leader, follower = pty.openpty()
    try:
        os.write(leader, typed.encode())
        yield follower
    finally:
        os.close(leader)
        os.close(follower)


def test_there_is_one_version() -> None:
    """The command line, the package, and the API's document say the same; it is written once."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = tomllib.loads(project)["project"]["version"]
    done = run(["laurels", "--version"], environment={})
    assert f"laurels {version}\n" == done.stdout
    assert version == document()["info"]["version"]
    assert 1 == project.count(f'"{version}"')


def test_a_shell_completes_commands(tmp_path: Path) -> None:
    """`--install-completion` writes the shell's script, and the command answers what the script asks."""
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    installed = run(["laurels", "--install-completion", "bash"], environment=home)
    assert 0 == installed.returncode, installed.stderr
    assert "laurels" in (tmp_path / ".bashrc").read_text()

    asked = {"_LAURELS_COMPLETE": "complete_bash", "COMP_WORDS": "laurels re", "COMP_CWORD": "1"}
    assert {"rebuild", "republish", "restore"} == set(run(["laurels"], environment=asked).stdout.split())


def test_options_say_where_it_listens(tmp_path: Path) -> None:
    """`up --host` and `--port` win over the settings."""
    port = free_port()
    command = ["laurels", "up", "--host", "127.0.0.1", "--port", str(port)]
    taken = {"LAURELS_DATA_DIR": str(tmp_path / "data"), "LAURELS_HOST": "192.0.2.1"}
    service = start("up", command, environment=taken, folder=tmp_path, port=free_port())
    service.port = port
    try:
        service.wait_until_ready()
        assert 200 == httpx.get(f"{service.url}/health").status_code
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--host", "0.0.0.0"], "LAURELS_HOST=0.0.0.0 would let everybody"), (["--port", "70000"], "--port")],  # noqa: S104 - refused
)
def test_options_are_held_to_the_rules_of_the_settings(tmp_path: Path, options: list[str], sentence: str) -> None:
    """An address that others reach needs tokens, however it is given."""
    done = run(["laurels", "up", *options], environment={"LAURELS_DATA_DIR": str(tmp_path / "data")})
    assert 0 < done.returncode <= 2
    assert sentence in done.stderr
    assert not (tmp_path / "data").exists()
