"""A real Apache Kafka for the tests: found on this machine, or started from its own jars.

`session_broker` gives the broker that all workers of a test session share, `start_broker` one that a test may kill.
No process outlives its owners, however they end: the kernel releases a dead owner's pipe (one owner, see `_guard`)
or file lock (many owners, see `_hold`), and whoever waits for that ends the broker.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory, mkdtemp
from threading import Thread
from types import MappingProxyType
from typing import Final

import pytest

__all__ = [
    "KafkaBroker",
    "KafkaStartError",
    "KafkaUnavailable",
    "SharedBroker",
    "answers",
    "jars",
    "kafka_or_skip",
    "session_broker",
    "session_folder",
    "start_broker",
]

POM: Final = Path(__file__).parent / "kafka" / "pom.xml"
START_SECONDS: Final = 60
INSTALL_SECONDS: Final = 600
PORT_ATTEMPTS: Final = 5
TAIL_LINES: Final = 40
UNAVAILABLE: Final = 75
"""Exit code of a holder that found no way to run a broker here."""

# Below the ephemeral ports: a client that retries while its broker is down could be given the broker's own port.
PORTS: Final = range(20_000, 32_000)

# Quick to start rather than quick to run: most test brokers live for seconds.
JVM: Final = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After kill -9 the controller refuses the broker's return until its old session has run out (9 s by default).
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "200",
    # One small node needs few threads and little memory.
    "num.io.threads": "2",
    "num.network.threads": "2",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.index.size.max.bytes": "1048576",
}


class KafkaUnavailable(Exception):
    """No Kafka can be had on this machine; the message says why."""


class KafkaStartError(Exception):
    """A broker could be run here, but did not come up; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class SharedBroker:
    """A broker that others use too, so nobody may stop it."""

    bootstrap_servers: str


@dataclass(slots=True)
class KafkaBroker:
    """A broker that its one owner may kill, pause and start again."""

    bootstrap_servers: str
    data: Path
    command: tuple[str, ...] = field(repr=False)
    _guard: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Run the broker on its data and its port, and return when it answers; else raise KafkaStartError."""
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-P", __file__, "guard", *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for pytest, whose end the guard notices.
            )
        try:
            self._wait_until_ready(self._guard)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the broker as kill -9 does; its data stay."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate()

    def stop(self) -> None:
        """End the broker and remove its data."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def pause(self) -> None:
        """Freeze the broker: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        self._send(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask the broker to shut down in good order, and wait for its end; its data stay."""
        self._send(signal.SIGTERM)
        if self._guard is not None:
            self._guard.wait(START_SECONDS)
        self.kill()

    @property
    def _log(self) -> Path:
        return self.data / "broker.log"

    def _send(self, number: signal.Signals) -> None:
        if self._guard is None or self._guard.stdin is None or self._guard.stdout is None:
            message = "the broker does not run"
            raise RuntimeError(message)
        self._guard.stdin.write(f"{number:d}\n")
        self._guard.stdin.flush()
        self._guard.stdout.readline()

    def _wait_until_ready(self, guard: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.bootstrap_servers):
            if guard.poll() is not None or time.monotonic() > deadline:
                raise KafkaStartError(_tail(self._log.read_text(errors="replace")))
            time.sleep(0.02)


@contextmanager
def kafka_or_skip() -> Iterator[None]:
    """Skip the test where Kafka is unavailable, or fail it when LAURELS_REQUIRE_KAFKA=1."""
    try:
        yield
    except KafkaUnavailable as reason:
        if os.environ.get("LAURELS_REQUIRE_KAFKA") == "1":
            pytest.fail(f"LAURELS_REQUIRE_KAFKA=1, but {reason}")
        pytest.skip(f"no Kafka: {reason}")


def session_folder(basetemp: Path) -> Path:
    """Name the folder that all workers of this session share, given pytest's own `tmp_path_factory.getbasetemp()`."""
    shared = basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp
    return shared / "kafka"


@contextmanager
def session_broker(folder: Path) -> Iterator[SharedBroker]:
    """Share one broker with every process that names the same folder; it ends with the last of them."""
    external = os.environ.get("LAURELS_KAFKA_BOOTSTRAP_SERVERS")
    if external:
        yield SharedBroker(external)
        return
    with _locked(folder / "owners", fcntl.LOCK_SH):
        with _locked(folder / "start", fcntl.LOCK_EX):
            address = _published(folder) or _launch(folder)
        yield SharedBroker(address)


def start_broker(data_dir: Path, settings: Mapping[str, str] = MappingProxyType({})) -> KafkaBroker:
    """Start a broker of this process's own, from the jars; everything it writes is in `data_dir`."""
    return _start(_runtime(), data_dir, settings=settings)


def jars() -> Path:
    """Return the folder of the jars that brokers run from. Raises KafkaUnavailable where they cannot be had."""
    return _runtime().home / "jars"


def answers(address: str) -> bool:
    """Tell whether a broker at host:port takes requests and has joined its cluster."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    # In a thread, because the caller may itself stand in an event loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _names_a_broker(address)).result()


async def _names_a_broker(address: str) -> bool:
    # Imported late: the guard runs this file too, and must not delay the broker.
    admin, errors = import_module("aiokafka.admin"), import_module("aiokafka.errors")
    client = admin.AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=1000)
    try:
        async with asyncio.timeout(2):
            await client.start()
            cluster = await client.describe_cluster()
    except (errors.KafkaError, OSError):
        return False
    finally:
        await client.close()
    return bool(cluster["brokers"])


# The shared broker. Each owner holds a shared lock on `owners`; the holder process waits for the exclusive one.


def _published(folder: Path) -> str | None:
    try:
        address = (folder / "address").read_text()
    except FileNotFoundError:
        return None
    return address if answers(address) else None


def _launch(folder: Path) -> str:
    log = folder / "holder.log"
    with log.open("wb") as output:
        holder = subprocess.run(
            [sys.executable, "-P", __file__, "hold", str(folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=False,
        )
    if holder.returncode == UNAVAILABLE:
        raise KafkaUnavailable(_tail(log.read_text(errors="replace")))
    if holder.returncode != 0:
        raise KafkaStartError(_tail(log.read_text(errors="replace")))
    return (folder / "address").read_text()


def _hold(folder: Path) -> None:
    """Return when a shared broker is published, leaving a child that keeps it until its last owner is gone."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        sys.exit(int(os.read(reader, 2) or "1"))
    with ExitStack() as stack:
        try:
            address = _started_in_container(stack) or _started_from_jars(stack, folder)
        except KafkaUnavailable as reason:
            print(reason, file=sys.stderr, flush=True)  # noqa: T201 - the log that the caller reads
            os.write(writer, b"%d" % UNAVAILABLE)
            return
        fresh = folder / f"address.{os.getpid()}"
        fresh.write_text(address)
        fresh.replace(folder / "address")
        os.write(writer, b"0")
        with _locked(folder / "owners", fcntl.LOCK_EX):
            (folder / "address").unlink(missing_ok=True)


def _started_from_jars(stack: ExitStack, folder: Path) -> str:
    broker = start_broker(Path(mkdtemp(prefix="broker-", dir=folder)))
    stack.callback(broker.stop)
    return broker.bootstrap_servers


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield


# Kafka in a container.


def _docker_answers() -> bool:
    docker = import_module("docker")
    try:
        with closing(docker.from_env(timeout=2)) as client:
            return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False


def _started_in_container(stack: ExitStack) -> str | None:
    """Return the address of a broker in a container; None where none starts, as where no image can be pulled."""
    if not _docker_answers():
        return None
    try:
        return stack.enter_context(_container())
    except (import_module("docker").errors.DockerException, OSError) as error:
        print(f"no broker in a container: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the holder's log
        return None


@contextmanager
def _container() -> Iterator[str]:
    # Not testcontainers' KafkaContainer: its KRaft mode knows only another vendor's image.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow, and the guard runs this file
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415 - as above

    port, _ = _free_ports()
    container = DockerContainer(f"apache/kafka:{_kafka_version()}").with_bind_ports(9092, port)
    address = f"127.0.0.1:{port}"
    settings = _settings(listen="0.0.0.0:9092", advertised=address, controller="127.0.0.1:9093", logs="/tmp/logs")  # noqa: S108 - inside the container
    container.with_envs(**{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()})
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(START_SECONDS))
    with container:
        yield address


def _kafka_version() -> str:
    found = re.search(r"<kafka\.version>(.+)</kafka\.version>", POM.read_text())
    if found is None:
        message = f"no kafka.version in {POM}"
        raise ValueError(message)
    return found[1]


# Kafka from its jars.


@dataclass(frozen=True, slots=True)
class _Runtime:
    """Java, and a folder with all that a broker needs besides: the jars, and a formatted empty storage."""

    java: str
    home: Path

    @property
    def archive(self) -> Path:
        """The loaded classes of a broker, which more than halve the time of a start."""
        return self.home / "classes.jsa"

    def command(self, *arguments: str) -> tuple[str, ...]:
        # The archive fits one class path only, so its order must not change.
        jars = os.pathsep.join(sorted(str(jar) for jar in (self.home / "jars").glob("*.jar")))
        archive = (f"-XX:SharedArchiveFile={self.archive}",) if self.archive.exists() else ()
        return (self.java, *JVM, *archive, "-cp", jars, *arguments)


def _runtime() -> _Runtime:
    """Find what the broker runs on, or install it once a machine, however many processes ask at the same time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laurels-kafka"
    home = cache / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    runtime = _Runtime(_tool("java"), home)
    if not runtime.archive.exists():
        with _locked(home.with_suffix(".lock"), fcntl.LOCK_EX):
            if not home.exists():
                _install(runtime)
            if not runtime.archive.exists():
                _archive_classes(runtime)
    return runtime


def _install(runtime: _Runtime) -> None:
    maven = _tool("mvn")
    with TemporaryDirectory(dir=runtime.home.parent) as scratch:
        build = _Runtime(runtime.java, Path(scratch) / "build")
        to_jars = f"-DoutputDirectory={build.home / 'jars'}"
        _run(maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime", to_jars)
        _format(build)
        build.home.rename(runtime.home)


def _format(runtime: _Runtime) -> None:
    """Format a storage that every broker starts with a copy of, which saves each of them a run of Java."""
    storage = runtime.home / "storage"
    properties = runtime.home / "format.properties"
    addresses = {"listen": "127.0.0.1:9092", "advertised": "127.0.0.1:9092", "controller": "127.0.0.1:9093"}
    properties.write_text(_as_properties(_settings(**addresses, logs=str(storage))))
    tool = ("kafka.tools.StorageTool", "format", "--cluster-id", "bGF1cmVscy1pbi10ZXN0cw", "--config", str(properties))
    _run(*runtime.command(*tool))


def _archive_classes(runtime: _Runtime) -> None:
    """Run a broker once, from the jars' final place, for the archive of classes that Java writes at its end."""
    with TemporaryDirectory(dir=runtime.home.parent) as scratch:
        archive = Path(scratch) / "classes.jsa"
        broker = _start(runtime, Path(scratch) / "data", f"-XX:ArchiveClassesAtExit={archive}")
        try:
            broker.terminate()
            archive.rename(runtime.archive)
        finally:
            broker.stop()


def _tool(name: str) -> str:
    home = os.environ.get("JAVA_HOME")
    own = Path(home, "bin", name) if home else Path()
    found = str(own) if own.is_file() else shutil.which(name)
    if found is None:
        message = f"a broker of our own needs {name}, which is not installed"
        raise KafkaUnavailable(message)
    return found


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable(str(error)) from error
    if done.returncode != 0:
        message = f"{Path(command[0]).name} failed: {_tail(done.stdout + done.stderr)}"
        raise KafkaUnavailable(message)


def _start(
    runtime: _Runtime, data: Path, *flags: str, settings: Mapping[str, str] = MappingProxyType({})
) -> KafkaBroker:
    for attempt in range(PORT_ATTEMPTS):
        broker = _prepare(runtime, data, flags, settings)
        try:
            broker.start()
        except KafkaStartError as error:
            # Somebody took a port between our look and the broker's bind.
            if attempt + 1 == PORT_ATTEMPTS or "Address already in use" not in str(error):
                raise
        else:
            return broker
    raise AssertionError


def _prepare(runtime: _Runtime, data: Path, flags: tuple[str, ...], own: Mapping[str, str]) -> KafkaBroker:
    storage = data / "storage"
    shutil.copytree(runtime.home / "storage", storage, dirs_exist_ok=True)
    port, controller = (f"127.0.0.1:{port}" for port in _free_ports())
    settings = _settings(listen=port, advertised=port, controller=controller, logs=str(storage)) | dict(own)
    properties = data / "server.properties"
    properties.write_text(_as_properties(settings))
    java, *arguments = runtime.command("kafka.Kafka", str(properties))
    return KafkaBroker(port, data, (java, *flags, *arguments))


def _settings(*, listen: str, advertised: str, controller: str, logs: str) -> dict[str, str]:
    return SETTINGS | {
        "listeners": f"PLAINTEXT://{listen},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": logs,
    }


def _as_properties(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _free_ports() -> tuple[int, int]:
    free = filter(_is_free, SystemRandom().sample(PORTS, 100))
    return next(free), next(free)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def _guard(command: list[str]) -> None:
    """Run the broker, pass on each signal named on standard input, and kill it when that ends, as it does with us."""
    broker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
    Thread(target=lambda: os._exit(broker.wait() != 0), daemon=True).start()
    for number in sys.stdin:
        broker.send_signal(int(number))
        sys.stdout.write("sent\n")
        sys.stdout.flush()
    broker.kill()
    broker.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["guard", *command]:
            _guard(command)
        case ["hold", folder]:
            _hold(Path(folder))
        case _:
            sys.exit("for tests only")
