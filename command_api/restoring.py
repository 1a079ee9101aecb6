"""Fills an empty log with events that another instance recorded, and what the command side knows of them.

Each event is held to the rules of the command that leads to it (`replay.py`). Everything is one transaction under the
lock of the log's head: whatever is wrong, nothing of it stays. The write model
follows in SQL from the events, and equals, row for row, what the command side had where they were recorded.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import asyncpg

from command_api.decisions.awards import CLOCK_SKEW
from command_api.replay import Replay
from command_api.write_model import lock_head
from shared.event_store.log import APPENDED_CHANNEL
from shared.events import codec
from shared.events.json_lines import MalformedLine, from_line
from shared.runtime.database import OwnConnection

CHUNK: Final = 20_000
"""Events in one COPY: each is checked while the server stores those before it."""

SESSION: Final = {"lock_timeout": "10s", "synchronous_commit": "on"}

COLUMNS: Final = ("position", "event_id", "partition", "type", "schema_version", "user_id", "data", "recorded_at")

# The log keeps each event in the version in which it was written. What follows from it is read from the newest one,
# which only the codec can make: so data of older versions are upcasted there, and stand in for what is stored.
UPCAST: Final = "CREATE TEMPORARY TABLE upcasted (position bigint PRIMARY KEY, data jsonb NOT NULL) ON COMMIT DROP"
FACTS: Final = """
CREATE TEMPORARY VIEW facts AS
SELECT e.position, e.type, e.user_id, coalesce(l.data, e.data) AS data, e.recorded_at
FROM events e LEFT JOIN upcasted l USING (position)
"""

UNFOUNDED: Final = """
SELECT min(r.position) FROM facts r
LEFT JOIN facts a ON a.position = (r.data ->> 'award_id')::bigint AND a.type = 'achievement-awarded'
    AND a.user_id = r.user_id AND a.position < r.position
    AND (a.data -> 'achievement_id', a.data -> 'points', a.data -> 'awarded_at', a.data -> 'local_day')
      = (r.data -> 'achievement_id', r.data -> 'points', r.data -> 'awarded_at', r.data -> 'local_day')
WHERE r.type = 'award-revoked' AND a.position IS NULL
"""

REVOKED_BEFORE: Final = """
SELECT min(position) FROM (
    SELECT position, row_number() OVER (PARTITION BY data -> 'award_id' ORDER BY position) AS number
    FROM facts WHERE type = 'award-revoked'
) AS revocations WHERE number > 1
"""

USERS: Final = """
INSERT INTO write_model.users
    (user_id, username, username_key, user_language, user_timezone, created_at, updated_at)
SELECT DISTINCT ON (user_id) user_id, data ->> 'username', data ->> 'username_key', data ->> 'user_language',
    data ->> 'user_timezone', min(recorded_at) OVER (PARTITION BY user_id), recorded_at
FROM facts WHERE type IN ('user-created', 'user-changed') ORDER BY user_id, position DESC
"""

# The appender marks what a group changed with the group's last change, and a group is what shares a time.
ACHIEVEMENTS: Final = """
WITH changes AS (
    SELECT (data ->> 'achievement_id')::bigint AS achievement_id, type, data, recorded_at,
        max(position) OVER (PARTITION BY recorded_at) AS changed_position
    FROM facts WHERE type IN ('achievement-defined', 'achievement-translated')
), latest AS (
    SELECT achievement_id, max(recorded_at) AS updated_at, max(changed_position) AS changed_position
    FROM changes GROUP BY achievement_id
)
INSERT INTO write_model.achievements
    (achievement_id, achievement_language, achievement_point, repeatable, created_at, updated_at, changed_position)
SELECT achievement_id, c.data ->> 'achievement_language', (c.data ->> 'achievement_point')::integer,
    (c.data ->> 'repeatable')::boolean, c.recorded_at, l.updated_at, l.changed_position
FROM changes c JOIN latest l USING (achievement_id) WHERE c.type = 'achievement-defined'
"""

TEXTS: Final = """
INSERT INTO write_model.achievement_texts (achievement_id, language, name, name_key, description)
SELECT DISTINCT ON (1, 2) (data ->> 'achievement_id')::bigint, data ->> 'achievement_language',
    data ->> 'achievement_name', data ->> 'achievement_key', data ->> 'achievement_description'
FROM facts WHERE type IN ('achievement-defined', 'achievement-translated') ORDER BY 1, 2, position DESC
"""

REVOCATIONS: Final = """
INSERT INTO write_model.revocations (award_id)
SELECT (data ->> 'award_id')::bigint FROM facts WHERE type = 'award-revoked'
"""

HOLDINGS: Final = """
INSERT INTO write_model.holdings (user_id, achievement_id)
SELECT f.user_id, a.achievement_id
FROM facts f JOIN write_model.achievements a ON a.achievement_id = (f.data ->> 'achievement_id')::bigint
WHERE f.type = 'achievement-awarded' AND NOT a.repeatable
    AND NOT EXISTS (SELECT FROM write_model.revocations r WHERE r.award_id = f.position)
"""

MOVE_HEAD: Final = """
WITH moved AS (
    UPDATE log_head SET position = $1, recorded_at = $2, partition_positions = $3, catalogue_position = $4,
                        last_user_id = $5, last_achievement_id = $6
)
SELECT pg_notify($7, $1::bigint::text)
"""


class NotEmpty(Exception):
    """The log has events; the message is one sentence."""


class BadLog(ValueError):
    """What was to be restored is no log of Laurels; the message says why, and in which line, without a full stop."""


@dataclass(slots=True)
class _Incoming:
    """Lines on their way into the log; `upcasted` collects the newest data of events that are of an older version."""

    replay: Replay
    lines: Iterator[tuple[int, bytes]]
    upcasted: list[tuple[int, str]] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the next events, each checked. Raises BadLog."""
        partitions = len(self.replay.partition_positions)
        for number, line in islice(self.lines, CHUNK):
            try:
                recorded, event = from_line(line, partitions)
                self.replay.follow(recorded, event)
            except MalformedLine as error:
                raise BadLog(f"line {number}: {error}") from None
            if recorded.schema_version != codec.SCHEMA_VERSIONS[recorded.type]:
                self.upcasted.append((recorded.position, codec.encode(event)))
            yield (
                recorded.position,
                recorded.event_id,
                recorded.partition,
                recorded.type,
                recorded.schema_version,
                recorded.user_id,
                recorded.data,
                recorded.recorded_at,
            )


async def restore(connection: OwnConnection, lines: Iterable[bytes], languages: frozenset[str]) -> int:
    """Fill the empty log with these lines, whose texts are in these languages, and return its position.

    Raises NotEmpty, BadLog or what `lines` raises, and then nothing has changed.
    """
    async with connection.transaction():
        found = await lock_head(connection)
        if found["position"]:
            raise NotEmpty(f"The log is at position {found['position']}; only an empty instance can be filled.")
        replay = Replay([0] * len(found["partition_positions"]), languages, found["now"] + CLOCK_SKEW)
        await connection.execute(UPCAST)
        await connection.execute(FACTS)
        await _copy(connection, _Incoming(replay, iter(enumerate(lines, 1))))
        state = replay.state
        if not state.position:
            raise BadLog("there is no event in it")
        await _derive(connection)
        await connection.execute(
            MOVE_HEAD,
            state.position,
            state.now,
            replay.partition_positions,
            state.catalogue.position,
            state.last_user_id,
            state.last_achievement_id,
            APPENDED_CHANNEL,
        )
    return state.position


async def _copy(connection: OwnConnection, incoming: _Incoming) -> None:
    before = -1
    while before < incoming.replay.state.position:
        before = incoming.replay.state.position
        try:
            await connection.copy_records_to_table("events", records=incoming.rows(), columns=COLUMNS)
        except asyncpg.UniqueViolationError as error:
            raise BadLog(f"line {before + _line(error)}: another event has this id") from error
        await connection.copy_records_to_table("upcasted", records=incoming.upcasted)
        incoming.upcasted.clear()


def _line(error: asyncpg.PostgresError) -> int:
    # Positions are known to follow on each other by then, so this can only be about the event's id.
    numbers = re.findall(r"\d+", str(error.as_dict().get("context")))
    return int(numbers[0])


async def _derive(connection: OwnConnection) -> None:
    if (line := await connection.fetchval(UNFOUNDED)) is not None:
        raise BadLog(f"line {line}: it revokes what is no award of this user")
    if (line := await connection.fetchval(REVOKED_BEFORE)) is not None:
        raise BadLog(f"line {line}: the award that it revokes is revoked already")
    try:
        for statement in (USERS, ACHIEVEMENTS, TEXTS, REVOCATIONS, HOLDINGS):
            await connection.execute(statement)
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise BadLog(f"it contradicts itself: {error.as_dict().get('detail') or error}".rstrip(".")) from error
