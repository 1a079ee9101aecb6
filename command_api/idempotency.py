"""Idempotency keys: the same key and command get the same answer, and append once, for ever.

Answers are remembered for `LAURELS_IDEMPOTENCY_HOURS`. The id of an event that has a key is made from the key and the
command, so that after that time, too, the event is found in the log and not appended a second time.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from uuid import UUID

import orjson
from asyncpg.pgproto import pgproto
from uuid_utils import uuid7

from command_api.answers import Answer, repeated
from command_api.decisions import Command
from command_api.decisions.state import State
from command_api.write_model.loading import load_users
from shared.domain.errors import IdempotencyKeyReused
from shared.event_store.reading import events_with_ids
from shared.events import codec
from shared.events.envelope import RecordedEvent
from shared.runtime.database import Connection
from shared.runtime.sql import sql

REMEMBERED = "SELECT key, fingerprint, status, body, position FROM write_model.idempotency WHERE key = ANY($1::text[])"

CLAIM = """
INSERT INTO write_model.idempotency (key, fingerprint, status, body, recorded_at)
VALUES ($1, $2, 200, '', now()) ON CONFLICT (key) DO NOTHING RETURNING true
"""

CLAIMED = "SELECT fingerprint FROM write_model.idempotency WHERE key = $1"

FORGET = """
DELETE FROM write_model.idempotency
WHERE key IN (SELECT key FROM write_model.idempotency WHERE recorded_at < now() - $1::interval LIMIT 10000)
"""


@dataclass(frozen=True, slots=True)
class Keyed:
    """An Idempotency-Key with the fingerprint of its command, and the event id that both lead to."""

    key: str
    fingerprint: bytes
    event_id: UUID


def keyed(key: str, command: Command) -> Keyed:
    """Return the key with what it stands for. Fields that are not given do not count, so new ones change nothing."""
    given = {field.name: getattr(command, field.name) for field in fields(command)}
    canonical = orjson.dumps(
        [command.type, {name: value for name, value in given.items() if value is not None}],
        option=orjson.OPT_SORT_KEYS,
    )
    fingerprint = hashlib.blake2b(canonical, digest_size=16).digest()
    return Keyed(key, fingerprint, UUID(bytes=_digest(key, fingerprint), version=5))


def fresh_event_ids(count: int) -> list[UUID]:
    """Return so many UUIDs of version 7, each greater than the one before, so that the log's index grows at one end."""
    # asyncpg's own UUID is a uuid.UUID too, and made in a tenth of the time.
    return [pgproto.UUID(uuid7().bytes) for _ in range(count)]


def _digest(key: str, fingerprint: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + b"\0" + fingerprint, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Memory:
    """An earlier answer and the fingerprint of the command that it answered."""

    fingerprint: bytes
    answer: Answer


async def remembered(connection: Connection, keys: Sequence[str]) -> dict[str, Memory]:
    """Return the earlier answers of those keys that have one."""
    rows = await connection.fetch(REMEMBERED, keys)
    return {
        row["key"]: Memory(
            row["fingerprint"],
            Answer(status=row["status"], body=row["body"], position=row["position"], replayed=True),
        )
        for row in rows
    }


async def recall(connection: Connection, state: State, keys: Sequence[Keyed]) -> dict[str, Memory]:
    """Return, by key, the answers to the commands that came before, whether or not they are still remembered."""
    if not keys:
        return {}
    memories = await remembered(connection, list({k.key for k in keys}))
    if unknown := {k.event_id: k for k in keys if k.key not in memories}:
        for recorded in await events_with_ids(connection, list(unknown)):
            forgotten = unknown[recorded.event_id]
            memories[forgotten.key] = Memory(forgotten.fingerprint, await _answer_again(connection, state, recorded))
    return memories


async def _answer_again(connection: Connection, state: State, recorded: RecordedEvent) -> Answer:
    """Answer for an event whose remembered answer has expired: as it was, in the texts of today."""
    event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
    if event.subject is not None:
        await load_users(connection, state, [event.subject])
    return repeated(event, replace(state, now=recorded.recorded_at), recorded.position)


async def remember(connection: Connection, answers: Iterable[tuple[Keyed, Answer]], now: object) -> None:
    """Keep answers with the events that they announce, in one transaction."""
    rows = [(k.key, k.fingerprint, a.status, a.body, a.position) for k, a in answers]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(sql("command_api.write_model", "remember_answers"), *columns, now)


async def claim(connection: Connection, key: str, fingerprint: bytes) -> bool:
    """Bind the key of a bulk request to its body; return whether it was bound to this body before.

    Raises IdempotencyKeyReused when it is bound to another one. The commands of the request have keys of their own.
    """
    if await connection.fetchval(CLAIM, key, fingerprint):
        return False
    if await connection.fetchval(CLAIMED, key) != fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key came with another body before.")
    return True


async def forget(connection: Connection, hours: int) -> int:
    """Drop up to 10,000 answers that are older; return how many went."""
    status = await connection.execute(FORGET, timedelta(hours=hours))
    return int(status.split()[-1])
