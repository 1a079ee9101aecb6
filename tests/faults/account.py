"""The account after the faults: what was acknowledged against the log, the log against the read models."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from command_api.relay.publishing import BATCH_LIMIT
from projector.generations.verification import verify
from shared.events import codec
from shared.events.cloudevents import MalformedRecord, from_record
from shared.events.envelope import partition_of
from shared.read_models.generations import schema_name, served_generation
from tests.faults.cluster import TOPIC, Cluster
from tests.faults.load import Acknowledged, Load
from tests.support import oracle
from tests.support.rebuild import unequal_rows

DRAIN_SECONDS = 120.0
"""Seconds in which the read models have to come closer to the end of the log."""
PAGE_OF_LOG = """
SELECT position, type, schema_version, data::text AS data, recorded_at
FROM events WHERE position > $1 ORDER BY position LIMIT 10000
"""
SUBJECTS = {
    "achievement-awarded": "user_id",
    "achievement-defined": "achievement_name",
    "award-revoked": "award_id",
    "user-changed": "username",
    "user-created": "username",
}
"""What tells whether an event of a type is the one that was acknowledged."""
# Clients give every award a time of its own, but for those that can be had once, which go by the group's clock.
TWICE = """
WITH once AS (
    SELECT data -> 'achievement_id' AS id FROM events
    WHERE type = 'achievement-defined' AND data -> 'repeatable' = 'false'
), alike AS (
    SELECT count(*) FROM events GROUP BY type, CASE
        WHEN type = 'achievement-awarded' AND data -> 'achievement_id' IN (SELECT id FROM once)
            THEN jsonb_build_array(user_id, data -> 'achievement_id')
        WHEN type = 'achievement-awarded'
            THEN jsonb_build_array(user_id, data -> 'achievement_id', data -> 'awarded_at')
        WHEN type = 'award-revoked' THEN data -> 'award_id'
        WHEN type = 'achievement-defined' THEN data -> 'achievement_name'
        WHEN type = 'user-created' THEN data -> 'username'
        ELSE to_jsonb(position) END
    HAVING count(*) > 1
)
SELECT coalesce(sum(count - 1), 0)::bigint FROM alike
"""
KEPT = """
SELECT coalesce(sum(coalesce(last_offset, kafka_offset) - kafka_offset + 1), 0)
FROM quarantine JOIN generations USING (generation) WHERE state = 'live' AND record = ANY($1)
"""
TYPICAL_BATCH = 200
"""Events that a relay has under way when clients rarely post in bulk: one round of them, and what waited."""
HARMLESS_TO_RELAYS = frozenset({"cut clients", "cut clients in mid-frame", "cut before the answer"})
LOSING = frozenset({"corrupt", "topic remade by the broker"})
"""Faults after which the topic lacks events, or cannot be read, until they are published again."""
ORACLE_LIMIT = 50_000
"""Events up to which the slow oracle is asked; beyond, the rebuild alone is."""


@dataclass(slots=True)
class Account:
    """Figures that have to be zero, some that need not, and what was wrong in words."""

    lost: int = 0
    counted_twice: int = 0
    gaps: int = 0
    out_of_order: int = 0
    unequal_answers: int = 0
    unexpected_answers: int = 0
    errors: int = 0
    unequal_rows: int = 0
    lag: int = 0
    events: int = 0
    republished: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    @property
    def to_be_zero(self) -> dict[str, int]:
        """The figures that have to be zero, by name."""
        return {
            "lost": self.lost,
            "counted twice": self.counted_twice,
            "gaps": self.gaps,
            "out of order": self.out_of_order,
            "unequal answers": self.unequal_answers,
            "unexpected answers": self.unexpected_answers,
            "answers of 500": self.errors,
            "unequal rows": self.unequal_rows,
            "lag": self.lag,
        }


async def drawn_up(cluster: Cluster, load: Load, faults: Counter[str], poisons: Sequence[bytes]) -> Account:
    """Wait until all is drained, then compare everything with everything."""
    account = Account()
    connection = await asyncpg.connect(await cluster.url())
    try:
        await _drain(connection, account)
        if cluster.broker is not None:
            await _wait_until_published(connection, account)
        await _check_log(connection, load, account)
        await _check_twice(connection, load, account)
        _check_order(load, account)
        _check_answers(load, account)
        await _check_read_models(connection, cluster, account)
        if cluster.broker is not None:
            if not faults.keys() & LOSING:
                await _check_topic(cluster.broker.bootstrap_servers, account)
            _check_republished(faults, load, account)
            await _check_quarantine(connection, poisons, account)
    finally:
        await connection.close()
    return account


async def _drain(connection: Any, account: Account) -> None:
    least, deadline = math.inf, 0.0
    while True:
        account.lag = await connection.fetchval(
            "SELECT h.position - read_position(g.generation) FROM log_head h, generations g WHERE g.state = 'live'"
        )
        if account.lag == 0:
            return
        if account.lag < least:
            least, deadline = account.lag, time.monotonic() + DRAIN_SECONDS
        if time.monotonic() > deadline:
            account.wrong.append(f"the read models stay {account.lag} positions behind")
            return
        await asyncio.sleep(0.1)


async def _wait_until_published(connection: Any, account: Account) -> None:
    """Wait for the relay too: what it is late with, projectors read from the log."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while not await connection.fetchval("SELECT l.position >= h.position FROM write_model.relay_lease l, log_head h"):
        if time.monotonic() > deadline:
            account.wrong.append("the relay does not publish all of the log")
            return
        await asyncio.sleep(0.1)


async def _log(connection: Any) -> AsyncIterator[Any]:
    """Yield the log's rows in order, holding one page of them at a time."""
    position = 0
    while rows := await connection.fetch(PAGE_OF_LOG, position):
        for row in rows:
            yield row
        position = rows[-1]["position"]


async def _check_log(connection: Any, load: Load, account: Account) -> None:
    due = sorted((done for done in load.acknowledged if done.position), key=_position, reverse=True)
    last = 0
    async for row in _log(connection):
        account.events += 1
        account.gaps += row["position"] != last + 1
        last = row["position"]
        while due and _position(due[-1]) <= last:
            _check_is_there(due.pop(), row, account)
    for done in due:
        _check_is_there(done, None, account)
    if account.gaps:
        account.wrong.append(f"{account.gaps} positions are not gapless")


def _position(done: Acknowledged) -> int:
    return done.position or 0


def _check_is_there(done: Acknowledged, row: Any, account: Account) -> None:
    if row is None or (done.position, done.type) != (row["position"], row["type"]):
        there = False
    else:
        there = bool(orjson.loads(row["data"])[SUBJECTS[done.type]] == done.subject)
    if not there:
        account.lost += 1
        account.wrong.append(f"lost: {done}")


async def _check_twice(connection: Any, load: Load, account: Account) -> None:
    changes = await connection.fetchval("SELECT count(*) FROM events WHERE type = 'user-changed'")
    commanded = sum(done.type == "user-changed" for done in load.acknowledged)
    account.counted_twice = await connection.fetchval(TWICE) + max(0, changes - commanded)
    if account.counted_twice:
        account.wrong.append(f"counted twice: {account.counted_twice} events")


def _check_order(load: Load, account: Account) -> None:
    last: dict[int, int] = {}
    for done in load.acknowledged:
        if done.position is None:
            continue
        if done.position <= last.get(done.client, 0):
            account.out_of_order += 1
            account.wrong.append(f"out of order: {done}")
        last[done.client] = done.position


def _check_answers(load: Load, account: Account) -> None:
    account.errors = load.errors
    account.unequal_answers = len(load.unequal)
    account.unexpected_answers = len(load.unexpected)
    if load.errors:
        account.wrong.append(f"{load.errors} answers were 500")
    account.wrong += [f"unexpected answer: {what}" for what in load.unexpected[:5]]
    account.wrong += [f"unequal answers: {what}" for what in load.unequal[:5]]


async def _check_read_models(connection: Any, cluster: Cluster, account: Account) -> None:
    for table, unequal in (await unequal_rows(await cluster.url())).items():
        account.unequal_rows += unequal
        account.wrong.append(f"{unequal} rows of {table} differ from a rebuild")
    for check in (await verify(await cluster.url(), await served_generation(connection))).tables:
        account.unequal_rows += check.differing
        account.wrong += [f"{check.table}, {example}" for example in check.examples]
    if account.events <= ORACLE_LIMIT:
        await _check_oracle(connection, account)


async def _check_oracle(connection: Any, account: Account) -> None:
    live = await served_generation(connection)
    facts = [
        oracle.Fact(r["position"], codec.decode(r["type"], r["schema_version"], r["data"]), r["recorded_at"])
        async for r in _log(connection)
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


def _check_republished(faults: Counter[str], load: Load, account: Account) -> None:
    """See that events came twice only where a relay ended before it had noted them as published."""
    causes = sum(count for name, count in faults.items() if name not in HARMLESS_TO_RELAYS)
    batch = BATCH_LIMIT if load.until else TYPICAL_BATCH
    if account.republished > causes * batch + 500 * faults["records again"]:
        account.wrong.append(f"{account.republished} events were published again, after {causes} faults")


async def _check_quarantine(connection: Any, poisons: Sequence[bytes], account: Account) -> None:
    """See that every record that is no event of ours was kept, alone or in a run that begins with one."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (kept := await connection.fetchval(KEPT, list(poisons))) < len(set(poisons)):
        if time.monotonic() > deadline:
            account.wrong.append(f"in quarantine are {kept} of {len(set(poisons))}")
            return
        await asyncio.sleep(0.1)


async def _check_topic(bootstrap_servers: str, account: Account) -> None:
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
                    if event.position > account.events or partition_of(event.user_id, 8) != record.partition:
                        continue
                    if event.position > last.get(record.partition, 0):
                        if event.previous > last.get(record.partition, 0):
                            account.wrong.append(f"the topic misses events before {event.position}")
                        last[record.partition] = event.position
                        seen += 1
                    else:
                        account.republished += 1
        if seen != account.events:
            account.lost += account.events - seen
            account.wrong.append(f"the topic has {seen} of {account.events} events")
    finally:
        await consumer.stop()
