"""Fills an empty log with events that another instance recorded, and what the command side knows of them.

Each event is held to the rules of the command that leads to it (`replay.py`). Everything is one transaction under the
lock of the log's head: whatever is wrong, nothing of it stays. The write model is derived in SQL from the events, and
equals, row for row, what the command side had where they were recorded.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import asyncpg

from command_api.decisions.awards import CLOCK_SKEW
from command_api.replay import Replay
from command_api.write_model.deriving import ContradictoryFacts, derive
from command_api.write_model.saving import head_of
from shared.event_store.appending import copy_events, copy_upcasted, lock_head, move_head, prepare_copy
from shared.events import codec
from shared.events.envelope import RecordedEvent
from shared.events.json_lines import MalformedLine, from_line
from shared.runtime.database import OwnConnection

CHUNK: Final = 20_000
"""Events in one COPY: each is checked while the server stores those before it."""

SESSION: Final = {"lock_timeout": "10s", "synchronous_commit": "on"}


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

    def events(self) -> Iterator[RecordedEvent]:
        """Yield the next events, each checked. Raises BadLog."""
        partitions = len(self.replay.partition_positions)
        for number, line in islice(self.lines, CHUNK):
            try:
                recorded, event = from_line(line, partitions)
                self.replay.follow(recorded, event)
            except MalformedLine as error:
                raise BadLog(f"line {number}: {error}") from None
            if recorded.schema_version != codec.SCHEMA_VERSIONS[recorded.type]:
                self.upcasted.append((recorded.position, codec.encode(event)))
            yield recorded


async def restore(connection: OwnConnection, lines: Iterable[bytes], languages: frozenset[str]) -> int:
    """Fill the empty log with these lines, whose texts are in these languages, and return its position.

    Raises NotEmpty, BadLog or what `lines` raises, and then nothing has changed.
    """
    async with connection.transaction():
        head = await lock_head(connection)
        if head.position:
            raise NotEmpty(f"The log is at position {head.position}; only an empty instance can be filled.")
        replay = Replay(head.partition_positions, languages, head.recorded_at + CLOCK_SKEW)
        await prepare_copy(connection)
        await _copy(connection, _Incoming(replay, iter(enumerate(lines, 1))))
        state = replay.state
        if not state.position:
            raise BadLog("there is no event in it")
        try:
            await derive(connection)
        except ContradictoryFacts as error:
            raise BadLog(str(error)) from error
        await move_head(connection, head_of(state, replay.partition_positions))
    return state.position


async def _copy(connection: OwnConnection, incoming: _Incoming) -> None:
    before = -1
    while before < incoming.replay.state.position:
        before = incoming.replay.state.position
        try:
            await copy_events(connection, incoming.events())
        except asyncpg.UniqueViolationError as error:
            raise BadLog(f"line {before + _line(error)}: another event has this id") from error
        await copy_upcasted(connection, incoming.upcasted)
        incoming.upcasted.clear()


def _line(error: asyncpg.PostgresError) -> int:
    # Positions are known to follow on each other by then, so this can only be about the event's id.
    numbers = re.findall(r"\d+", str(error.as_dict().get("context")))
    return int(numbers[0])
