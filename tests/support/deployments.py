"""Both deployments, started as a user starts them: `laurels up`, and the very commands that compose.yaml names."""

import itertools
import os
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import asyncpg
import httpx
import yaml

from all_in_one.embedded_postgres import EmbeddedPostgres, find_running
from tests.support.documented import assert_documented
from tests.support.gateway import haproxy_or_skip, launch
from tests.support.processes import ROOT, STOP_SECONDS, UNMEASURED, Service, free_port, run, start, wait_until_answers
from tests.support.synchronously import synchronously


@dataclass(slots=True)
class Laurels:
    """A running instance, as a test sees it. `postgres` is there where the services do not own their database."""

    base_url: str
    transport: str
    database_url: str
    services: Mapping[str, Sequence[Service]]
    environment: Mapping[str, str]
    postgres: EmbeddedPostgres | None = None
    http: httpx.Client = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _run: str = field(default_factory=lambda: secrets.token_hex(4))
    _locks: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the client that the tests use, which holds every response against the document."""
        self.http = httpx.Client(base_url=self.base_url, timeout=15, event_hooks={"response": [assert_documented]})

    @property
    def can_pause(self) -> bool:
        """Whether the projection can be held up."""
        return True

    @property
    def can_stop_database(self) -> bool:
        """Whether the database can be killed while the services live on."""
        return self.postgres is not None

    def where(self, path: str) -> str:
        """Return the address of a path: that of the service itself for what the gateway does not pass on."""
        if not path.startswith("/metrics"):
            return path
        (service, *_) = self.services.get("up") or self.services["query_api"]
        return service.url + path

    def name(self, prefix: str = "user") -> str:
        """Return a name that no other test uses."""
        return f"{prefix}-{self._run}-{next(self._numbers)}"

    def operate(self, *arguments: str) -> CompletedProcess[str]:
        """Run `laurels …` with this instance's settings to its end, as its operator does."""
        return run(["laurels", *arguments], environment=self.environment)

    def stop_projection(self) -> None:
        """Hold the projectors up, by locking their checkpoints."""

        async def hold() -> None:
            connection = await asyncpg.connect(self.database_url)
            await connection.execute("BEGIN")
            await connection.execute("SELECT FROM progress FOR UPDATE")
            self._locks.append(connection)

        synchronously(hold())

    def resume_projection(self) -> None:
        """Let the projectors go on."""

        async def let_go() -> None:
            self._locks.pop().terminate()

        synchronously(let_go())

    def stop_database(self) -> None:
        """Kill the database server, as a crash would."""
        assert self.postgres is not None
        assert self.postgres.pid is not None
        os.kill(self.postgres.pid, signal.SIGKILL)


def fetch(laurels: Laurels, query: str) -> Sequence[asyncpg.Record]:
    """Ask the instance's database."""

    async def ask() -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(laurels.database_url)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    return synchronously(ask())


@contextmanager
def _client(laurels: Laurels) -> Iterator[Laurels]:
    try:
        yield laurels
    finally:
        laurels.http.close()


@contextmanager
def embedded(folder: Path, settings: Mapping[str, str]) -> Iterator[Laurels]:
    """Run `laurels up` on an empty data folder."""
    environment = {"LAURELS_DATA_DIR": str(folder / "data"), **settings}
    service = start("up", ["laurels", "up"], environment=environment, folder=folder, port=free_port())
    try:
        service.wait_until_ready()
        connection = find_running(folder / "data")
        assert connection is not None
        with _client(Laurels(service.url, "postgres", connection.url, {"up": [service]}, environment)) as laurels:
            yield laurels
    finally:
        service.stop()


def compose_services() -> Mapping[str, Any]:
    """Return the services of compose.yaml that run this project, by name; its tools are none of them."""
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ours = {name: service for name, service in document["services"].items() if service.get("image") == "laurels"}
    return {name: service for name, service in ours.items() if "profiles" not in service}


@contextmanager
def scaled_out(folder: Path, bootstrap_servers: str, settings: Mapping[str, str]) -> Iterator[Laurels]:
    """Run what compose.yaml names, over an empty PostgreSQL and a topic of its own, behind its gateway."""
    haproxy_or_skip()
    postgres = EmbeddedPostgres(folder / "postgres")
    connection = synchronously(postgres.start())
    # What the embedded deployment runs, and the tests of relay and projector, need not be measured once more.
    environment = _scaled_out_environment(connection.url, bootstrap_servers) | UNMEASURED | dict(settings)
    try:
        with _composed(folder, environment) as services:
            gateway = services["gateway"][0]
            with _client(Laurels(gateway.url, "kafka", connection.url, services, environment, postgres)) as laurels:
                yield laurels
    finally:
        synchronously(postgres.stop())


@dataclass(frozen=True, slots=True)
class Parts:
    """A migrated PostgreSQL and a topic of its own, over which a test starts those services that it wants."""

    folder: Path
    environment: Mapping[str, str]
    database_url: str
    topic: str
    bootstrap_servers: str
    _stack: ExitStack

    def start(self, name: str, number: int = 0) -> Service:
        """Start a service by its name in compose.yaml, once more for every number, and wait until it is ready."""
        service = self.launch(f"{name}-{number}", compose_services()[name]["command"])
        service.wait_until_ready()
        return service

    def launch(self, name: str, command: Sequence[str]) -> Service:
        """Start any service over the same database, and do not wait until it is ready."""
        service = start(name, command, environment=self.environment, folder=self.folder, port=free_port())
        self._stack.callback(service.stop)
        return service

    def fetch(self, query: str) -> Sequence[asyncpg.Record]:
        """Run one statement as the database's owner and return its rows."""

        async def ask() -> Sequence[asyncpg.Record]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return await connection.fetch(query)
            finally:
                await connection.close()

        return synchronously(ask())


@contextmanager
def parts(folder: Path, bootstrap_servers: str, settings: Mapping[str, str]) -> Iterator[Parts]:
    """Run an empty PostgreSQL and nothing else yet; what the test starts is stopped at the end."""
    postgres = EmbeddedPostgres(folder / "postgres")
    connection = synchronously(postgres.start())
    environment = _scaled_out_environment(connection.url, bootstrap_servers) | dict(settings)
    try:
        with ExitStack() as stack:
            migrate = start("migrate", compose_services()["migrate"]["command"], environment=environment, folder=folder)
            assert migrate.process.wait(60) == 0, migrate.tail()
            topic = environment["LAURELS_KAFKA_TOPIC"]
            yield Parts(folder, environment, connection.url, topic, bootstrap_servers, stack)
    finally:
        synchronously(postgres.stop())


def _scaled_out_environment(database_url: str, bootstrap_servers: str) -> dict[str, str]:
    unique = f"laurels-{secrets.token_hex(6)}"
    return {
        "LAURELS_DATABASE_URL": database_url,
        "LAURELS_TRANSPORT": "kafka",
        "LAURELS_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LAURELS_KAFKA_TOPIC": unique,
        "LAURELS_KAFKA_GROUP": unique,
    }


@contextmanager
def _composed(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, list[Service]]]:
    named = dict(compose_services())
    migrate = start("migrate", named.pop("migrate")["command"], environment=environment, folder=folder)
    assert migrate.process.wait(60) == 0, migrate.tail()
    services: dict[str, list[Service]] = {}
    with ExitStack() as stack:
        for name, service in named.items():
            for number in range(service.get("deploy", {}).get("replicas", 1)):
                started = start(
                    f"{name}-{number}", service["command"], environment=environment, folder=folder, port=free_port()
                )
                stack.callback(started.stop)
                services.setdefault(name, []).append(started)
        for started in itertools.chain.from_iterable(services.values()):
            started.wait_until_ready()
        gateway = launch(folder, {name: running[0].port for name, running in services.items()})
        stack.callback(gateway.process.wait, STOP_SECONDS)
        stack.callback(gateway.process.kill)
        wait_until_answers(f"{gateway.url}/ready", gateway)
        yield {**services, "gateway": [gateway]}
