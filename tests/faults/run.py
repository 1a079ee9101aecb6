"""`python -m tests.faults.run` does a seeded run and prints one line; it exits with 1 unless everything is in order."""

import argparse
import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from all_in_one.embedded_postgres import EmbeddedPostgres
from command_api.relay.lease import LEASE_SECONDS
from command_api.republishing import republish
from shared.events.cloudevents import to_headers
from shared.events.envelope import RecordedEvent
from tests.faults import cluster as deployments
from tests.faults.account import Account, drawn_up
from tests.faults.cluster import SESSION_TIMEOUT_MS, TOPIC, Cluster, Part
from tests.faults.hostile import Hostile
from tests.faults.load import START, Load
from tests.support.processes import free_port
from tests.support.topic import flip_a_byte, partitions_of, recreate

RECOVERY_SECONDS = 60.0
PARTITIONS = 8
LAST_AWARD = """
SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at
FROM events WHERE type = 'achievement-awarded' ORDER BY position DESC LIMIT 1
"""
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'laurels_projector'
"""
AT_WORK = 0.5

Fault = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Faults:
    """Does one fault after another, and waits after each until a command is acknowledged again."""

    cluster: Cluster
    load: Load
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    recoveries: list[tuple[float, str]] = field(default_factory=list)
    poisons: list[bytes] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many processes were killed or paused."""
        return sum(count for name, count in self.counts.items() if name.startswith(("kill", "pause")))

    async def run(self, kills: int, only: Collection[str]) -> None:
        """Go on until so many processes were killed or paused; `only` names the faults, all if it is empty."""
        known = [(name, fault) for name, fault in self._known() if not only or name in only]
        while self.kills < kills:
            await asyncio.sleep(self.random.uniform(0.1, 0.8))
            name, fault = self.random.choice(known)
            await fault()
            self.counts[name] += 1
            await self._recover(name)
            self.load.progress = self.kills / kills
        self.load.progress = 1.0

    def _known(self) -> list[tuple[str, Fault]]:
        everywhere: list[tuple[str, Fault]] = [
            ("kill postmaster", self._kill_postmaster),
            ("kill backend", self._kill_backend),
            ("cut clients", self._cut_clients),
            ("cut clients in mid-frame", self._cut_clients_in_mid_frame),
            ("cut before the answer", self._swallow_answer),
        ]
        if self.cluster.transport == "postgres":
            return [*everywhere, ("kill up", lambda: self._kill("up")), ("pause up", lambda: self._pause("up", 1.0))]
        session, lease = (seconds + 1.5 for seconds in (SESSION_TIMEOUT_MS / 1000, LEASE_SECONDS))
        return [
            *everywhere,
            ("kill command_api", lambda: self._kill("command_api")),
            ("kill relay", lambda: self._kill("relay")),
            ("kill projector", lambda: self._kill("projector")),
            ("kill broker", self._kill_broker),
            ("pause projector", lambda: self._pause("projector", session)),
            ("pause relay", lambda: self._pause("relay", lease)),
            ("projector leaves", self._leave),
            ("projector more or less", self._join_or_leave),
            ("cut database", self._cut_database),
            ("cut database in mid-frame", self._cut_database_in_mid_frame),
            ("cut after commit", self._cut_after_commit),
            ("records again", self._records_again),
            ("records copied", self._copy_records),
            ("poison", self._poison),
            ("corrupt", self._corrupt),
            ("foreign partition", self._foreign_partition),
            ("topic remade by the broker", self._remake_topic),
            ("consumer cannot close", self._end_sessions_without_a_broker),
        ]

    async def _recover(self, name: str) -> None:
        started = time.monotonic()
        while self.load.last_at < started:
            if time.monotonic() - started > RECOVERY_SECONDS:
                raise AssertionError(f"nothing is acknowledged {RECOVERY_SECONDS} s after: {name}")
            await asyncio.sleep(0.005)
        self.recoveries.append((self.load.last_at - started, name))

    async def _target(self, prefix: str) -> Part:
        """Choose a process, every other time only once it is at work; else it may just be starting."""
        part = self.random.choice(self.cluster.named(prefix))
        if self.random.random() < AT_WORK:
            await part.serving()
            await asyncio.sleep(self.random.uniform(0, 2))
        return part

    async def _kill(self, prefix: str) -> None:
        part = await self._target(prefix)
        part.send(signal.SIGKILL)
        await part.ended()

    async def _pause(self, prefix: str, seconds: float) -> None:
        part = await self._target(prefix)
        part.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        part.send(signal.SIGCONT)

    async def _leave(self) -> None:
        part = await self._target("projector")
        part.send(signal.SIGTERM)
        await part.ended()

    async def _join_or_leave(self) -> None:
        """Let a third projector join, or leave if it is there."""
        name, parts = "projector-3", self.cluster.parts
        if (part := parts.pop(name, None)) is None:
            parts[name] = replace(parts["projector-1"], name=name, port=free_port(), service=None)
            return
        part.send(signal.SIGTERM)
        await part.ended()

    async def _kill_postmaster(self) -> None:
        if self.cluster.postgres is None:
            connection = await self._database()
            pid = await connection.fetchval("SELECT (regexp_match(pg_read_file('postmaster.pid'), '^\\d+'))[1]::int")
            connection.terminate()
            _kill_process(pid)
            await self.cluster.parts["up"].ended()
            return
        assert self.cluster.postgres.pid is not None
        _kill_process(self.cluster.postgres.pid)
        await self.cluster.postgres.wait_for_death()
        await self.cluster.postgres.stop()
        self.cluster.postgres = EmbeddedPostgres(self.cluster.folder / "postgres")
        connection = await self.cluster.postgres.start()
        assert self.cluster.database is not None
        # Where the path of the data is long, the socket lies in a folder that is made anew with every start.
        self.cluster.database.target = Path(connection.host) / f".s.PGSQL.{connection.port}"

    async def _kill_backend(self) -> None:
        connection = await self._database()
        pids = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'laurels_%'")
        connection.terminate()
        if pids:
            _kill_process(self.random.choice(pids)["pid"])

    async def _kill_broker(self) -> None:
        assert self.cluster.broker is not None
        await asyncio.to_thread(self.cluster.broker.kill)
        await asyncio.to_thread(self.cluster.broker.start)

    async def _cut_clients(self) -> None:
        for proxy in self.cluster.commands:
            proxy.cut()

    async def _cut_clients_in_mid_frame(self) -> None:
        self.random.choice(self.cluster.commands).cut_in_mid_frame()

    async def _swallow_answer(self) -> None:
        self.random.choice(self.cluster.commands).swallow_answer_to(b"POST")

    async def _cut_database(self) -> None:
        assert self.cluster.database is not None
        self.cluster.database.cut()

    async def _cut_database_in_mid_frame(self) -> None:
        assert self.cluster.database is not None
        self.cluster.database.cut_in_mid_frame()

    async def _cut_after_commit(self) -> None:
        assert self.cluster.database is not None
        self.cluster.database.swallow_answer_to(b"COMMIT")

    async def _records_again(self) -> None:
        connection = await self._database()
        head = await connection.fetchval("SELECT position FROM write_model.relay_lease")
        await republish(connection, max(1, head - self.random.randrange(500)))
        await connection.close()

    async def _copy_records(self) -> None:
        """Put the last records of a partition into it once more, as they are."""
        assert self.cluster.broker is not None
        where = TopicPartition(TOPIC, self.random.randrange(PARTITIONS))
        consumer = AIOKafkaConsumer(bootstrap_servers=self.cluster.broker.bootstrap_servers)
        await consumer.start()
        try:
            consumer.assign([where])
            end = (await consumer.end_offsets([where]))[where]
            consumer.seek(where, max(0, end - self.random.randrange(1, 50)))
            records = (await consumer.getmany(where, timeout_ms=1000)).get(where, [])
        finally:
            await consumer.stop()
        for record in records:
            await self._produce(where.partition, record.value, record.headers)

    async def _poison(self) -> None:
        """Put a record into the topic that says no position, or one that the log does not have."""
        no_position: list[Any] = [("ce_position", b"not a number"), ("ce_type", b"achievement-awarded")]
        beyond = RecordedEvent(
            position=10**12,
            event_id=UUID(int=0),
            partition=0,
            type="user-created",
            schema_version=1,
            user_id=1,
            data="",
            recorded_at=START,
        )
        poison = b"\xff\xfe poison %d" % len(self.poisons)
        partition = self.random.randrange(PARTITIONS)
        if await self._produce(partition, poison, self.random.choice([no_position, to_headers(beyond, 1)])):
            self.poisons.append(poison)

    async def _corrupt(self) -> None:
        """Flip a byte of the last batch of some partitions, which no projector has read yet, on the broker's disk."""
        assert self.cluster.broker is not None
        async with self._paused("projector"):
            await asyncio.sleep(0.5)
            for partition in self.random.sample(range(PARTITIONS), 3):
                with contextlib.suppress(LookupError):
                    flip_a_byte(self.cluster.broker.data / "storage", TOPIC, partition)

    async def _foreign_partition(self) -> None:
        """Put the log's last award into another partition, ahead of what that one's own are published with."""
        async with self._paused("relay"):
            await asyncio.sleep(0.5)
            connection = await self._database()
            event = RecordedEvent(**await connection.fetchrow(LAST_AWARD))
            await connection.close()
            foreign = (event.partition + self.random.randrange(1, PARTITIONS)) % PARTITIONS
            value = event.data.encode()
            if await self._produce(foreign, value, to_headers(event, 0)):
                self.poisons.append(value)

    async def _remake_topic(self) -> None:
        """Have the topic come back with one partition, as a broker makes it, and wait until a relay adds the others."""
        assert self.cluster.broker is not None
        # What was in it unread is gone with it.
        self.poisons.clear()
        address = self.cluster.broker.bootstrap_servers
        await asyncio.to_thread(recreate, address, TOPIC, 1)
        async with asyncio.timeout(RECOVERY_SECONDS):
            while await asyncio.to_thread(partitions_of, address, TOPIC) < PARTITIONS:  # noqa: ASYNC110 - a relay adds them
                await asyncio.sleep(0.5)

    async def _end_sessions_without_a_broker(self) -> None:
        """End the projectors' sessions while the broker is away, so that consumers close that cannot reach it."""
        assert self.cluster.broker is not None
        await asyncio.to_thread(self.cluster.broker.kill)
        for _ in range(10):
            await asyncio.sleep(0.5)
            connection = await self._database()
            await connection.execute(END_SESSIONS)
            await connection.close()
        await asyncio.to_thread(self.cluster.broker.start)

    @contextlib.asynccontextmanager
    async def _paused(self, prefix: str) -> AsyncIterator[None]:
        """Hold up all processes of a kind for a moment."""
        parts = [part for part in self.cluster.named(prefix) if part.alive]
        for part in parts:
            part.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for part in parts:
                part.send(signal.SIGCONT)

    async def _produce(self, partition: int, value: bytes, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Produce a record; return whether the broker acknowledged it."""
        assert self.cluster.broker is not None
        producer = AIOKafkaProducer(bootstrap_servers=self.cluster.broker.bootstrap_servers)
        try:
            await producer.start()
            await producer.send_and_wait(TOPIC, value, partition=partition, headers=list(headers))
        except KafkaError:
            self.counts["records not produced"] += 1
            return False
        finally:
            await producer.stop()
        return True

    async def _database(self) -> Any:
        return await asyncpg.connect(await self.cluster.url())


def _kill_process(pid: int) -> None:
    subprocess.run(["kill", "-9", str(pid)], check=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found; `line` is what it prints."""

    account: Account
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do. `faults` names those to do, all if empty; `twin` breaks the system on purpose."""

    deployment: str
    seed: int
    kills: int = 25
    events: int = 0
    faults: Collection[str] = ()
    twin: str | None = None


async def run(plan: Plan, folder: Path) -> Result:
    """Do one run. Raises AssertionError when the system does not recover."""
    commit = commit_now()
    start = deployments.embedded if plan.deployment == "embedded" else deployments.scaled_out
    async with start(folder, plan.twin) as cluster:
        load = Load([proxy.port for proxy in cluster.commands], plan.seed, plan.events)
        faults = Faults(cluster, load, random.Random(f"{plan.seed} faults"))
        ports = [part.port for part in (*cluster.named("up"), *cluster.named("command_api"))]
        hostile = Hostile(ports, random.Random(f"{plan.seed} hostile"), load.record_error)
        attacking = asyncio.create_task(hostile.run())
        tasks = [asyncio.create_task(load.run()), asyncio.create_task(faults.run(plan.kills, plan.faults))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, attacking):
                task.cancel()
        assert hostile.attacks
        account = await drawn_up(cluster, load, faults.counts, faults.poisons)
    return Result(account, _line(plan, commit, faults, load, account) + f" attacks={hostile.attacks}")


def commit_now() -> str:
    """Return the short id of the commit that is checked out."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _line(plan: Plan, commit: str, faults: Faults, load: Load, account: Account) -> str:
    times = sorted(faults.recoveries)
    quantiles = [f"{times[min(len(times) - 1, int(len(times) * q))][0]:.2f}" for q in (0.5, 0.99, 1.0)]
    figures = " ".join(f"{name.replace(' ', '_')}={figure}" for name, figure in account.to_be_zero.items())
    return (
        f"{plan.deployment} seed={plan.seed} commit={commit} kills={faults.kills} "
        f"faults={dict(sorted(faults.counts.items()))} acknowledged={len(load.acknowledged)} "
        f"repeated={load.repeated} events={account.events} {figures} republished={account.republished} "
        f"recovery_p50_p99_max={'/'.join(quantiles)}s slowest={times[-1][1]!r}"
    )


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--events", type=int, default=0, help="go on until so many are acknowledged")
    parser.add_argument("--twin", default=None, help="break the system on purpose; see twins.py")
    parser.add_argument("--faults", default="", help="names of faults, comma-separated; all by default")
    given = parser.parse_args()
    plan = Plan(
        deployment=given.deployment,
        seed=given.seed,
        kills=given.kills,
        events=given.events,
        faults=[name for name in given.faults.split(",") if name],
        twin=given.twin,
    )
    with tempfile.TemporaryDirectory(prefix="laurels-faults-", ignore_cleanup_errors=True) as folder:
        result = asyncio.run(run(plan, Path(folder)))
    print(result.line, flush=True)
    print("\n".join(result.account.wrong[:20]))
    sys.exit(0 if result.account.clean else 1)


if __name__ == "__main__":
    main()
