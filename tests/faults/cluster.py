"""The system under faults: processes that can be killed, paused and started again, over proxies that can be cut."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from all_in_one.embedded_postgres import EmbeddedPostgres, find_running
from tests.faults.proxy import Proxy
from tests.support.kafka import KafkaBroker, start_broker
from tests.support.processes import UNMEASURED, Service, free_port, start

TOPIC = "laurels.events"
SESSION_TIMEOUT_MS = 2_000
SERVING_SECONDS = 15.0
ENDING_SECONDS = 30.0
"""All of them end at once, on a machine that may be busy."""


@dataclass(slots=True)
class Part:
    """One process of the system, and how it is started."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    service: Service | None = None
    paused: bool = False

    def start(self) -> None:
        """Start it, on the port that it always has."""
        self.service = start(
            self.name, self.command, environment={**self.environment, **UNMEASURED}, folder=self.folder, port=self.port
        )

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self.service is not None
        return self.service.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.service is not None and self.service.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def serving(self) -> None:
        """Wait until it is ready, though not for ever: what it needs may be away."""
        deadline = time.monotonic() + SERVING_SECONDS
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(f"http://127.0.0.1:{self.port}/ready")).is_success:
                        return
                await asyncio.sleep(0.1)

    async def ended(self) -> None:
        """Wait until it has ended."""
        assert self.service is not None
        await asyncio.to_thread(self.service.process.wait, 30)


@dataclass(slots=True)
class Cluster:
    """All of it. `commands` are the ports that clients send to."""

    folder: Path
    parts: dict[str, Part]
    commands: list[Proxy]
    database: Proxy | None = None
    postgres: EmbeddedPostgres | None = None
    broker: KafkaBroker | None = None
    transport: str = "postgres"

    def named(self, prefix: str) -> list[Part]:
        """Return the parts whose name begins so."""
        return [part for name, part in self.parts.items() if name.startswith(prefix)]

    async def url(self) -> str:
        """Return the URL of the database, past the proxy; wait until there is one."""
        for _ in range(600):
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                url = self._url()
                if url:
                    connection = await asyncpg.connect(url, timeout=2)
                    await connection.close()
                    return url
            await asyncio.sleep(0.05)
        message = "the database does not come back"
        raise AssertionError(message)

    def _url(self) -> str | None:
        folder = self.folder / ("data" if self.transport == "postgres" else "postgres")
        found = find_running(folder)
        return found.url if found else None

    async def keep_up(self) -> None:
        """Start again whatever has ended, as an operator's supervisor does, until cancelled."""
        while True:
            for part in self.parts.values():
                if not part.alive:
                    part.start()
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End everything."""
        for part in self.parts.values():
            part.send(signal.SIGCONT)
            part.send(signal.SIGTERM)
        for part in self.parts.values():
            if part.service:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    part.service.process.wait(ENDING_SECONDS)
                part.service.stop()
        if self.broker:
            self.broker.stop()


@contextlib.asynccontextmanager
async def embedded(folder: Path, twin: str | None) -> AsyncIterator[Cluster]:
    """Run `laurels up` on an empty data folder, clients behind a proxy."""
    environment = {"LAURELS_DATA_DIR": str(folder / "data")}
    up = Part("up", _command("laurels up", twin), environment, folder)
    proxy = Proxy(up.port)
    await proxy.start()
    cluster = Cluster(folder, {"up": up}, [proxy])
    async with _running(cluster):
        yield cluster


@contextlib.asynccontextmanager
async def scaled_out(folder: Path, twin: str | None) -> AsyncIterator[Cluster]:
    """Run two of each service over a PostgreSQL behind a proxy, and a broker of its own."""
    broker = await asyncio.to_thread(start_broker, folder / "kafka")
    postgres = EmbeddedPostgres(folder / "postgres")
    connection = await postgres.start()
    database = Proxy(Path(connection.host) / f".s.PGSQL.{connection.port}")
    await database.start()
    environment = {
        "LAURELS_DATABASE_URL": (
            f"postgresql://{connection.user}:{connection.password}@127.0.0.1:{database.port}/{connection.database}"
            "?sslmode=disable"
        ),
        "LAURELS_TRANSPORT": "kafka",
        "LAURELS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "LAURELS_KAFKA_TOPIC": TOPIC,
        "LAURELS_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
    }
    migrate = start("migrate", ["python", "-m", "alembic", "upgrade", "head"], environment=environment, folder=folder)
    assert await asyncio.to_thread(migrate.process.wait, 60) == 0, migrate.tail()
    modules = {"command_api": "command_api", "relay": "command_api.relay", "projector": "projector"}
    parts = {
        f"{name}-{number}": Part(f"{name}-{number}", _command(f"python -m {module}", twin), environment, folder)
        for name, module in modules.items()
        for number in (1, 2)
    }
    cluster = Cluster(folder, parts, [], database, postgres, broker, "kafka")
    for part in cluster.named("command_api"):
        proxy = Proxy(part.port)
        await proxy.start()
        cluster.commands.append(proxy)
    try:
        async with _running(cluster):
            yield cluster
    finally:
        await database.stop()
        if cluster.postgres:
            await cluster.postgres.stop()


@contextlib.asynccontextmanager
async def _running(cluster: Cluster) -> AsyncIterator[Any]:
    for part in cluster.parts.values():
        part.start()
    try:
        for part in cluster.parts.values():
            assert part.service is not None
            await asyncio.to_thread(part.service.wait_until_ready)
        keeper = asyncio.create_task(cluster.keep_up())
        try:
            yield
        finally:
            keeper.cancel()
    finally:
        await asyncio.to_thread(cluster.stop)
        for proxy in cluster.commands:
            await proxy.stop()


def _command(command: str, twin: str | None) -> list[str]:
    """Return a command, run by the launcher that breaks it on purpose if a twin is wanted."""
    if twin is None:
        return command.split()
    module = {"laurels up": "cli.main", "python": ""}.get(command) or command.rsplit(maxsplit=1)[-1]
    arguments = ["up"] if command == "laurels up" else []
    return ["python", "-m", "tests.faults.twins", twin, module, *arguments]
