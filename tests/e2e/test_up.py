"""`laurels up`, as a user runs it: what it prints, what it keeps, how it stops, and what it says when it cannot."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from all_in_one import embedded_postgres
from all_in_one.embedded_postgres import find_running
from shared.runtime.environment import NO_SETTINGS
from tests.support.processes import ROOT, STOP_SECONDS, Service, free_port, run, start

API = "/api/v1"
SECONDS = 30.0
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
# Only where the interpreter lies in a folder that others may not enter, as root's home.
MAY_READ = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
LAURELS = str(Path(sys.executable).parent / "laurels")

CurlLines = list[str]


@contextmanager
def up(folder: Path, *, command: Sequence[str] = ("laurels", "up"), port: int | None = None) -> Iterator[Service]:
    """Run an instance over `folder/data` until it serves, and stop it however the test ends."""
    service = launch(folder, command=command, port=port)
    try:
        service.wait_until_ready()
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


def launch(folder: Path, *, command: Sequence[str] = ("laurels", "up"), port: int | None = None) -> Service:
    environment = {"LAURELS_DATA_DIR": str(folder / "data"), "HOME": str(folder)}
    return start("up", command, environment=environment, folder=folder, port=port or free_port())


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} never came true"
        time.sleep(0.02)


def post(service: Service, path: str, body: object) -> httpx.Response:
    response = httpx.post(service.url + API + path, json=body, timeout=SECONDS)
    assert 201 == response.status_code, response.text
    return response


def get(service: Service, path: str) -> Any:  # noqa: ANN401 - JSON is anything
    response = httpx.get(service.url + API + path, timeout=SECONDS)
    assert 200 == response.status_code, response.text
    return response.json()


def given_an_award(service: Service) -> int:
    """Register ada and award her; return the position of the award."""
    post(service, "/users/", {"username": "ada", "user_language": "en"})
    post(
        service,
        "/users/achievements",
        {"achievement_name": "First run", "achievement_description": "", "achievement_language": "en"},
    )
    awarded = post(service, "/users/ada/achievements/", {"achievement_name": "First run"})
    return int(awarded.headers["Event-Position"])


def everything(service: Service) -> list[Any]:
    """Return what an instance answers to every kind of read."""
    statistics = [
        f"/users/achievements-stats/{name}/" for name in ("max-count", "max-points", "max-min-difference", "streak")
    ]
    return [get(service, path) for path in ("/users/", "/users/achievements", "/users/ada/achievements/", *statistics)]


def servers_over(folder: Path) -> list[int]:
    return embedded_postgres._servers(folder / "data" / "cluster")


def postmaster_of(folder: Path) -> int:
    return int((folder / "data" / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def curl_lines(service: Service) -> CurlLines:
    return [line.strip() for line in service.log.read_text().splitlines() if line.strip().startswith("curl ")]


def wait_for_banner(service: Service) -> str:
    """Return what it printed once it has said how to stop it."""
    eventually(lambda: "Ctrl-C" in service.log.read_text(), "the last line of the greeting")
    return service.log.read_text()


def assert_one_sentence(refused: subprocess.CompletedProcess[str], *named: str) -> None:
    """Hold a failed start to the rule: exit code 1, one sentence on standard error that names what is wrong."""
    assert "Traceback" not in refused.stderr, refused.stderr
    assert 1 == refused.returncode, refused.stderr
    assert "" == refused.stdout
    lines = refused.stderr.splitlines()
    assert 1 == len(lines), refused.stderr
    for name in named:
        assert name in lines[0]


def refused_up(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"LAURELS_DATA_DIR": str(folder / "data"), "LAURELS_PORT": str(free_port()), **settings}
    return run(["laurels", "up"], environment=environment, seconds=SECONDS)


def test_it_says_where_it_listens_where_the_data_lies_and_what_to_try(tmp_path: Path) -> None:
    """The first lines name the address and the data folder, and the very curl commands in them work."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    with up(tmp_path) as service:
        printed = wait_for_banner(service)
        lines = curl_lines(service)
        answers = [
            orjson.loads(
                subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True, timeout=SECONDS).stdout
            )
            for line in lines
        ]

    assert f"http://localhost:{service.port}" in printed
    assert str((tmp_path / "data").resolve()) in printed
    assert len(lines) >= 2
    assert ["ada"] * len(lines) == [answer["username"] for answer in answers]


def test_the_second_start_prints_the_same_and_its_curl_still_answers(tmp_path: Path) -> None:
    """What was told at the first start holds at the next: ada is there already, and nothing is broken by asking."""
    port = free_port()
    with up(tmp_path, port=port) as first:
        wait_for_banner(first)
        told = curl_lines(first)
    with up(tmp_path, port=port) as second:
        eventually(lambda: len(curl_lines(second)) == 2 * len(told), "the second greeting")
        assert told == curl_lines(second)[len(told) :]


def test_a_restart_keeps_all_data(tmp_path: Path) -> None:
    """Users, catalogue, awards and every statistic are the same after a stop and a start, and the log goes on."""
    with up(tmp_path) as first:
        position = given_an_award(first)
        before = everything(first)
    with up(tmp_path) as second:
        after = everything(second)
        goes_on = post(second, "/users/ada/achievements/", {"achievement_name": "First run"})

    assert before == after
    assert position + 1 == int(goes_on.headers["Event-Position"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the process and its PostgreSQL within seconds, with exit code 0 and no traceback."""
    with up(tmp_path) as service, httpx.Client(base_url=service.url) as keeping_its_connection:
        given_an_award(service)
        keeping_its_connection.get("/health")
        assert servers_over(tmp_path)

        service.process.send_signal(number)

        assert 0 == service.process.wait(STOP_SECONDS)
    assert [] == servers_over(tmp_path)
    assert find_running(tmp_path / "data") is None
    assert "Traceback" not in service.log.read_text()
    assert "ERROR" not in service.log.read_text()


def test_a_stream_that_never_ends_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """A client in the middle of a stream of commands cannot keep the instance alive."""
    with up(tmp_path) as service, stream_of_commands(service):
        service.process.send_signal(signal.SIGTERM)

        assert 0 == service.process.wait(STOP_SECONDS)
    assert [] == servers_over(tmp_path)
    assert "Traceback" not in service.log.read_text()


@contextmanager
def stream_of_commands(service: Service) -> Iterator[None]:
    """Keep a request open that has sent one command and never ends."""
    line = b'{"type": "create-user", "username": "streaming", "user_language": "en"}\n'
    fields = b"Host: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    head = b"POST /api/v1/commands HTTP/1.1\r\n" + fields
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS) as client:
        client.sendall(head + b"%x\r\n%s\r\n" % (len(line), line))
        assert client.recv(1024).startswith(b"HTTP/1.1 200")
        yield


def test_a_signal_while_it_starts_stops_everything(tmp_path: Path) -> None:
    """Whoever changes their mind during the first start gets exit code 0, and no PostgreSQL is left behind."""
    service = launch(tmp_path)
    try:
        # The data folder is locked after the signals are listened for, and long before anything serves.
        eventually((tmp_path / "data" / "laurels.lock").exists, "the lock of the data folder")
        service.process.send_signal(signal.SIGINT)
        code = service.process.wait(SECONDS)
    finally:
        if service.process.poll() is None:
            service.process.kill()

    assert 0 == code, service.tail()
    assert [] == servers_over(tmp_path)
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("postgres_dies_too", [False, True])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, *, postgres_dies_too: bool) -> None:
    """After kill -9 of the whole the next start recovers, with every award that was answered with 201, once."""
    with up(tmp_path) as first:
        given_an_award(first)
        with ThreadPoolExecutor(8) as pool, busy(first, pool) as acknowledged:
            eventually(lambda: len(acknowledged) >= 100, "a hundred awards")
            victims = [first.process.pid, *(servers_over(tmp_path) if postgres_dies_too else ())]
            for victim in victims:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            first.process.wait(STOP_SECONDS)
    with up(tmp_path) as second:
        kept = all_award_ids(second, "ada")
        total = get(second, "/users/achievements-stats/max-count/")["total_achievements"]

    assert set(acknowledged) <= set(kept)
    assert len(set(kept)) == len(kept) == total


@contextmanager
def busy(service: Service, pool: ThreadPoolExecutor) -> Iterator[list[int]]:
    """Award ada from eight clients until they fail; yield the ids of the awards that were answered."""
    acknowledged: list[int] = []
    enough = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=service.url + API, timeout=SECONDS) as http, suppress(httpx.HTTPError):
            while not enough.is_set():
                answer = http.post("/users/ada/achievements/", json={"achievement_name": "First run"})
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["award_id"])

    for _ in range(8):
        pool.submit(client)
    try:
        yield acknowledged
    finally:
        enough.set()


def all_award_ids(service: Service, username: str) -> list[int]:
    """Return the ids of a user's awards, page after page, once reads show the whole log."""
    fresh = post(service, "/users/", {"username": "last", "user_language": "en"})
    reached = {"Prefer": "wait=10"}
    following = (
        f"{service.url}{API}/users/{username}/achievements/?limit=100&min_position={fresh.headers['Event-Position']}"
    )
    found: list[int] = []
    while following:
        page = httpx.get(following, headers=reached, timeout=SECONDS)
        assert 200 == page.status_code, page.text
        found += [award["award_id"] for award in page.json()]
        link = page.links.get("next", {}).get("url", "")
        following = str(page.url.join(link)) if link else ""
    return found


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    """Somebody else's port is named, with the setting that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = refused_up(tmp_path, LAURELS_PORT=str(port))

    assert_one_sentence(refused, str(port), "LAURELS_PORT")
    assert [] == servers_over(tmp_path)


def test_a_data_folder_in_use_is_one_sentence(tmp_path: Path) -> None:
    """A second instance over the same folder is refused, and the first one goes on undisturbed."""
    with up(tmp_path) as first:
        refused = refused_up(tmp_path)
        given_an_award(first)

    assert_one_sentence(refused, str(tmp_path / "data"))


def test_a_postgres_that_dies_underneath_is_one_sentence(tmp_path: Path) -> None:
    """Kill -9 of PostgreSQL ends the process with exit code 1, says so last, and the next start recovers."""
    with up(tmp_path) as service:
        given_an_award(service)
        before = everything(service)
        os.kill(postmaster_of(tmp_path), signal.SIGKILL)

        assert 1 == service.process.wait(SECONDS)
    said = service.log.read_text()
    assert "Traceback" not in said
    assert "PostgreSQL" in said.splitlines()[-1]
    with up(tmp_path) as again:
        assert before == everything(again)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAURELS_PORT", "abc"),
        ("LAURELS_PORT", "70000"),
        ("LAURELS_HOST", "no.such.host.invalid"),
        ("LAURELS_RATE_LIMIT", "nonsense"),
        ("LAURELS_TRANSPORT", "x"),
        ("LAURELS_LANGUAGES", "en,"),
        ("LAURELS_PARTITIONS", "0"),
        ("LAURELS_LOG_LEVEL", "loud"),
        ("LAURELS_DATABASE_URL", "nonsense"),
        ("LAURELS_DATABASE_URL", "mysql://localhost/laurels"),
        ("LAURELS_WRITE_TOKENS", ", ,"),
        ("LAURELS_READ_TOKENS", "short"),
        ("LAURELS_HOST", "192.0.2.1"),
        ("LAURELS_OPEN", "maybe"),
        ("LAURELS_HOSTS", "http://a/"),
        ("LAURELS_WRITE_TOKNS", "0123456789abcdef"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, name: str, value: str) -> None:
    """A setting that makes no sense is named, before anything is started."""
    refused = refused_up(tmp_path, **{name: value})

    assert_one_sentence(refused, name)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("service", ["command_api", "command_api.relay", "projector", "query_api"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAURELS_PORT", "abc"),
        ("LAURELS_RATE_LIMIT", "nonsense"),
        ("LAURELS_DATABASE_URL", "nonsense"),
        ("LAURELS_HOST", "192.0.2.1"),
        ("LAURELS_WRITE_TOKNS", "0123456789abcdef"),
    ],
)
def test_a_wrong_setting_of_a_service_is_one_sentence(service: str, name: str, value: str) -> None:
    """The processes of the scaled-out deployment are as clear about their settings."""
    environment = {"LAURELS_DATABASE_URL": unreachable(), "LAURELS_PORT": str(free_port()), name: value}

    assert_one_sentence(run(["python", "-m", service], environment=environment, seconds=SECONDS), name)


EVERY_PROCESS = (
    *(f"python -m {module}" for module in ("command_api", "command_api.relay", "projector", "query_api")),
    f"python -m alembic -c {ROOT / 'alembic.ini'} upgrade head",
    *(f"laurels {command}" for command in ("up", "demo", "status", "rebuild")),
)


@pytest.mark.parametrize("process", EVERY_PROCESS)
def test_a_file_of_settings_that_cannot_be_read_starts_nothing(tmp_path: Path, process: str) -> None:
    """Whatever is started refuses a `.env` of which a part would be skipped, and names its line."""
    (tmp_path / ".env").write_text('LAURELS_PORT=1\nLAURELS_WRITE_TOKENS="0123456789abcdef\n')
    refused = run(process.split(), environment={"PYTHONPATH": str(ROOT)}, seconds=SECONDS, folder=tmp_path)

    assert_one_sentence(refused, ".env, line 2")


def test_the_switches_of_tests_and_commands_start_with_it(tmp_path: Path) -> None:
    """Names of ours that are no settings keep nothing from starting."""
    others = dict.fromkeys(NO_SETTINGS, "1")
    refused = refused_up(tmp_path, LAURELS_DATABASE_URL=unreachable(), **others)

    assert_one_sentence(refused, "database")


def test_a_database_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    """With LAURELS_DATABASE_URL, `laurels up` starts no PostgreSQL, and says so when the given one does not answer."""
    refused = refused_up(tmp_path, LAURELS_DATABASE_URL=unreachable())

    assert_one_sentence(refused, "database")
    assert not (tmp_path / "data").exists()


def test_a_wrong_password_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    """A database that refuses the password is one sentence, which does not repeat the password."""
    with up(tmp_path):
        connection = find_running(tmp_path / "data")
        assert connection is not None
        wrong = connection.url.replace(connection.password, "guessed-wrongly")
        refused = refused_up(tmp_path, LAURELS_DATABASE_URL=wrong)

    assert_one_sentence(refused, "database")
    assert "guessed-wrongly" not in refused.stderr


def unreachable() -> str:
    return f"postgresql://laurels:secret@127.0.0.1:{free_port()}/laurels"


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is no superuser runs all of this as an ordinary user anyway")
def test_an_ordinary_user_can_run_it(public_folder: Path) -> None:
    """What works as root works as a user without privileges, restart and stop included."""
    command = [*as_nobody(), LAURELS, "up"]
    with up(public_folder, command=command) as first:
        given_an_award(first)
        before = everything(first)
        first.process.send_signal(signal.SIGINT)
        assert 0 == first.process.wait(STOP_SECONDS)
    with up(public_folder, command=command) as second:
        assert before == everything(second)
        assert (public_folder / "data" / "cluster").stat().st_uid == (public_folder / "data").stat().st_uid != 0
    assert [] == servers_over(public_folder)
    assert "Traceback" not in second.log.read_text()


def as_nobody() -> Sequence[str]:
    """Return what runs a command as nobody; skip where that cannot be done."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv on this machine")
    for command in (NOBODY, (*NOBODY, *MAY_READ)):
        # The interpreter must find the very library that this one has.
        asked = [*command, sys.executable, "-c", "import os; print(os.__file__)"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=False)
        if answer.stdout.strip() == os.__file__:
            return command
    pytest.skip("an ordinary user cannot read this interpreter")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Give a folder that is nobody's own, where every user can come, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="laurels-"))
    shutil.chown(folder, "nobody")
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
