"""Where the lines stand: data folders filled once a run, servers over them, and processes that put loads on."""

import asyncio
import logging
import multiprocessing
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from all_in_one.embedded_postgres import EmbeddedPostgres, find_running
from all_in_one.migrations import migrate
from bench import bare, client, data
from bench.client import Load, Outcome
from bench.plan import Plan
from tests.support.kafka import KafkaBroker, start_broker
from tests.support.processes import Service, free_port, start, wait_until_answers

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
SETTLE_SECONDS = 120.0
POLL_SECONDS = 0.01

BEHIND = "SELECT position - read_position(1) FROM log_head"


@dataclass(frozen=True, slots=True)
class Laurels:
    """A running `laurels up`."""

    service: Service
    database_url: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.service.port


@dataclass(slots=True)
class Workbench:
    """Everything that the lines share during one run; all of it is gone afterwards."""

    folder: Path
    plan: Plan
    _stack: ExitStack = field(default_factory=ExitStack)
    _pool: ProcessPoolExecutor | None = None
    _broker: KafkaBroker | None = None

    def __enter__(self) -> Self:
        # Not forked: a copy of this process would carry its connections with it.
        spawned = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(2, mp_context=spawned, initializer=logging.disable, initargs=(logging.ERROR,))
        self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def load(self, load: Load) -> Outcome:
        """Put a load on a server, from another process."""
        return self.beside(load).result()

    def beside(self, load: Load) -> "Future[Outcome]":
        """Begin with a load that goes on beside another one."""
        return self.call(client.run, load)

    def call(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> "Future[Result]":
        """Do something in another process."""
        assert self._pool is not None
        return self._pool.submit(work, *args, **kwargs)

    def data_folder(self, users: int) -> Path:
        """Return a data folder with so many users and their awards, in the log and in the read models."""
        folder = self.folder / f"users-{users}"
        if not folder.exists():
            with _postgres(folder) as url:
                migrate(url)
                head = run(data.fill_log(url, users))
                run(data.load_read_models(url, head))
        return folder

    @contextmanager
    def postgres(self, users: int) -> Iterator[str]:
        """Run PostgreSQL alone over such a data folder; yield its URL."""
        with _postgres(self.data_folder(users)) as url:
            yield url

    @contextmanager
    def laurels(self, users: int) -> Iterator[Laurels]:
        """Run `laurels up` over such a data folder."""
        with up(self.data_folder(users)) as laurels:
            yield laurels

    @contextmanager
    def floor(self, kind: str, server: str = "uvicorn") -> Iterator[int]:
        """Run one of the applications that do nothing, `asgi` or `fastapi`; yield its port."""
        with self.server(f"{kind}-{server}", ["python", "-m", "bench.apps", kind, server], "/constant") as port:
            yield port

    @contextmanager
    def server(self, name: str, command: list[str], path: str) -> Iterator[int]:
        """Run a server that takes its port as the last argument; yield the port once the path answers there."""
        port = free_port()
        service = start(name, [*command, str(port)], environment={}, folder=self.folder, port=port)
        try:
            wait_until_answers(f"{service.url}{path}", service)
            yield port
        finally:
            service.stop()

    @property
    def broker(self) -> str:
        """The address of a Kafka broker of this run's own. Raises KafkaUnavailable where there can be none."""
        if self._broker is None:
            self._broker = start_broker(self.folder / f"kafka-{secrets.token_hex(2)}")
            self._stack.callback(self._broker.stop)
        return self._broker.bootstrap_servers

    def kafka_settings(self, topic: str) -> dict[str, str]:
        """Return the settings of a deployment on Kafka."""
        return {
            "LAURELS_TRANSPORT": "kafka",
            "LAURELS_KAFKA_BOOTSTRAP_SERVERS": self.broker,
            "LAURELS_KAFKA_TOPIC": topic,
        }


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    server = EmbeddedPostgres(folder)
    connection = run(server.start())
    try:
        yield connection.url
    finally:
        run(server.stop())


@contextmanager
def up(folder: Path) -> Iterator[Laurels]:
    """Run `laurels up` over a data folder."""
    environment = {"LAURELS_DATA_DIR": str(folder)}
    service = start("up", ["laurels", "up"], environment=environment, folder=folder.parent, port=free_port())
    try:
        service.wait_until_ready()
        connection = find_running(folder)
        assert connection is not None
        yield Laurels(service, connection.url)
    finally:
        service.stop()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def settle(url: str) -> None:
    """Wait until the read models have caught up with the log."""
    run(_settle(url))


async def _settle(url: str) -> None:
    connection = await bare.connect(url)
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while await connection.fetchval(BEHIND):
            if time.monotonic() > deadline:
                sys.exit("the projector does not catch up")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()
