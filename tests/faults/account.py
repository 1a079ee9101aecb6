"""The account after the faults: what was acknowledged against the log, the log against the read models."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from projector.batch import LogBatch
from projector.generation import create_generation_sql
from projector.runner import Runner
from shared.events import codec
from shared.events.cloudevents import MalformedRecord, from_record
from shared.read_models import schema_name
from tests.faults.cluster import TOPIC, Cluster
from tests.faults.load import Acknowledged, Load
from tests.support import oracle

DRAIN_SECONDS = 120.0
REBUILT = 999
TYPICAL_BATCH = 200
"""Events that a relay has under way at the most under this load: one round of its clients, and what waited."""
ORACLE_LIMIT = 50_000
"""Events up to which the slow oracle is asked; beyond, the rebuild alone is."""


@dataclass(slots=True)
class Account:
    """Figures that have to be zero, and what was wrong in words."""

    lost: int = 0
    counted_twice: int = 0
    gaps: int = 0
    out_of_order: int = 0
    unequal_answers: int = 0
    unequal_rows: int = 0
    lag: int = 0
    republished: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


async def drawn_up(cluster: Cluster, load: Load, faults: Counter[str]) -> Account:
    """Wait until all is drained, then compare everything with everything."""
    account = Account()
    connection = await asyncpg.connect(await cluster.url())
    try:
        await _drain(connection, account)
        rows = await connection.fetch(
            "SELECT position, event_id, partition, type, schema_version, user_id, data::text AS data, recorded_at "
            "FROM events ORDER BY position"
        )
        account.events = len(rows)
        _check_log(rows, load, account)
        _check_answers(load, account)
        await _check_read_models(connection, cluster, rows, account)
        if cluster.broker is not None:
            await _check_topic(cluster.broker.bootstrap_servers, rows, account)
            _check_republished(faults, account)
    finally:
        await connection.close()
    return account


async def _drain(connection: Any, account: Account) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        account.lag = await connection.fetchval(
            "SELECT h.position - read_position(g.generation) FROM log_head h, generations g WHERE g.state = 'live'"
        )
        if account.lag == 0:
            return
        if time.monotonic() > deadline:
            account.wrong.append(f"the read models stay {account.lag} positions behind")
            return
        await asyncio.sleep(0.1)


def _check_log(rows: Sequence[Any], load: Load, account: Account) -> None:
    positions = [row["position"] for row in rows]
    account.gaps = sum(1 for place, position in enumerate(positions, 1) if place != position)
    if account.gaps:
        account.wrong.append(f"{account.gaps} positions are not gapless")
    at = {row["position"]: row for row in rows}
    for done in load.acknowledged:
        if done.position is not None and not _is_there(done, at.get(done.position)):
            account.lost += 1
            account.wrong.append(f"lost: {done}")
    _check_twice(rows, load, account)
    _check_order(load, account)


def _is_there(done: Acknowledged, row: Any) -> bool:
    if row is None:
        return False
    data = orjson.loads(row["data"])
    if done.method == "POST" and done.path.endswith("/achievements/"):
        answer = orjson.loads(done.body)
        same = orjson.dumps(answer["award_id"]) == orjson.dumps(data.get("award_id"))
        return bool(row["type"] == "achievement-awarded" and same and answer["user_id"] == data["user_id"])
    if done.method == "DELETE":
        return bool(row["type"] == "award-revoked" and done.path.endswith(f"/{data['award_id']}"))
    if done.path == "/users/":
        return bool(row["type"] == "user-created" and data["username"] == done.json["username"])
    return row["type"] in {"user-changed", "achievement-defined"}


def _check_twice(rows: Sequence[Any], load: Load, account: Account) -> None:
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        data = orjson.loads(row["data"])
        match row["type"]:
            case "achievement-awarded":
                # Clients give every award a time of its own; once-only awards go by the group's clock.
                counts["award", data["user_id"], data["achievement_id"], data["awarded_at"]] += 1
            case "award-revoked":
                counts["revoked", data["award_id"]] += 1
            case "user-created":
                counts["user", data["username"]] += 1
            case _:
                pass
    changes = sum(1 for row in rows if row["type"] == "user-changed")
    commanded = {done.key for done in load.acknowledged if done.method == "PATCH"}
    account.counted_twice = sum(count - 1 for count in counts.values() if count > 1) + max(0, changes - len(commanded))
    if account.counted_twice:
        account.wrong.append(f"counted twice: {[what for what, count in counts.items() if count > 1][:5]}")


def _check_order(load: Load, account: Account) -> None:
    last: dict[int, int] = {}
    for done in sorted(load.acknowledged, key=lambda done: (done.client, done.number)):
        if done.position is None:
            continue
        if done.position <= last.get(done.client, 0):
            account.out_of_order += 1
            account.wrong.append(f"out of order: {done}")
        last[done.client] = done.position


def _check_answers(load: Load, account: Account) -> None:
    account.unequal_answers = len(load.unequal)
    if load.errors:
        account.wrong.append(f"{load.errors} answers were 500")
    account.wrong += [f"unequal answers: {what}" for what in load.unequal[:5]]


async def _check_read_models(connection: Any, cluster: Cluster, rows: Sequence[Any], account: Account) -> None:
    live = await connection.fetchval("SELECT generation FROM generations WHERE state = 'live'")
    await _rebuild(connection, await cluster.url(), len(rows))
    for table in oracle.COLUMNS:
        ours, anew = (f"SELECT t::text FROM {schema_name(number)}.{table} t" for number in (live, REBUILT))
        unequal = await connection.fetchval(
            f"SELECT count(*) FROM (({ours} EXCEPT ALL {anew}) UNION ALL ({anew} EXCEPT ALL {ours})) AS d"
        )
        if unequal:
            account.unequal_rows += unequal
            account.wrong.append(f"{unequal} rows of {table} differ from a rebuild")
    if len(rows) <= ORACLE_LIMIT:
        await _check_oracle(connection, live, rows, account)


async def _check_oracle(connection: Any, live: int, rows: Sequence[Any], account: Account) -> None:
    facts = [
        oracle.Fact(r["position"], codec.decode(r["type"], r["schema_version"], r["data"]), r["recorded_at"])
        for r in rows
    ]
    expected = await asyncio.to_thread(oracle.tables, facts)
    for table, columns in oracle.COLUMNS.items():
        found = await connection.fetch(f"SELECT {', '.join(columns)} FROM {schema_name(live)}.{table}")
        seen = sorted((tuple(_plain(value) for value in row) for row in found), key=repr)
        if sorted(expected[table], key=repr) != seen:
            account.unequal_rows += 1
            account.wrong.append(f"{table} differs from the oracle")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple((run.lower, run.upper) for run in value)
    return value


async def _rebuild(connection: Any, url: str, head: int) -> None:
    async with connection.transaction():
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema_name(REBUILT)} CASCADE")
        await connection.execute("DELETE FROM generations WHERE generation = $1", REBUILT)
        await connection.execute("SET LOCAL ROLE laurels_projector")
        for statement in create_generation_sql(REBUILT):
            await connection.execute(statement)
        await connection.execute("INSERT INTO generations (generation, state) VALUES ($1, 'building')", REBUILT)
        await connection.execute(
            "INSERT INTO progress (generation, partition) SELECT $1, partition FROM log_head, "
            "generate_series(0, cardinality(partition_positions) - 1) AS partition",
            REBUILT,
        )
    partitions = await connection.fetchval("SELECT cardinality(partition_positions) FROM log_head")
    runner = await Runner.open(url, REBUILT)
    held, _ = await runner.take_over(range(partitions))
    for after in range(0, head, 10_000):
        events = LogBatch(after, min(after + 10_000, head), held, partitions)
        await runner.project(events)
        held = events.held_afterwards
    runner.close()


def _check_republished(faults: Counter[str], account: Account) -> None:
    """See that events came twice only where a relay ended before it had noted them as published."""
    causes = sum(count for name, count in faults.items() if name not in {"cut clients", "cut before the answer"})
    if account.republished > causes * TYPICAL_BATCH + 500 * faults["records again"]:
        account.wrong.append(f"{account.republished} events were published again, after {causes} faults")


async def _check_topic(bootstrap_servers: str, rows: Sequence[Any], account: Account) -> None:
    """Every event is in the topic, each partition's in order when what came before is dropped."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, p) for p in range(8)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        last: dict[int, int] = {}
        seen = 0
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for record in (await consumer.getmany(partition, timeout_ms=1000)).get(partition, []):
                    try:
                        event = from_record(record.headers, record.value)
                    except MalformedRecord:
                        continue
                    if event.position > last.get(record.partition, 0):
                        if event.previous > last.get(record.partition, 0):
                            account.wrong.append(f"the topic misses events before {event.position}")
                        last[record.partition] = event.position
                        seen += 1
                    else:
                        account.republished += 1
        if seen != len(rows):
            account.lost += len(rows) - seen
            account.wrong.append(f"the topic has {seen} of {len(rows)} events")
    finally:
        await consumer.stop()
