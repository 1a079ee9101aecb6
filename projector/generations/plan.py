"""What a rebuild is asked for, how far it is, and what it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from projector.generations.verification import Verification


class Busy(Exception):
    """Another rebuild is running; the message is one sentence."""


class Refused(Exception):
    """What was asked for cannot be done; the message is one sentence."""


class Phase(StrEnum):
    """What a rebuild is at, in this order."""

    LOAD = "load"
    INDEX = "index"
    VERIFY = "verify"
    CATCH_UP = "catch up"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to rebuild, and how. `keep` is how many standby generations are kept after the switch."""

    transport: Literal["log", "kafka"] = "log"
    projection: str | None = None
    keep: int = 1
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rebuild is: positions of the log, and events a second while it loads.

    `dropped` is the generation of an interrupted rebuild that it could not go on with.
    """

    rebuild_id: int
    generation: int
    phase: Phase
    position: int = 0
    target: int = 0
    events_per_second: float | None = None
    resumed: bool = False
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rebuild came to; one that went on tells only what it did itself.

    `events` are those it loaded, `seconds` go by phase, `live` is the comparison of the live generation by a dry run,
    `standby` are the generations that a rollback can go to, the latest first.
    """

    generation: int
    events: int
    seconds: Mapping[Phase, float]
    verification: Verification | None
    live: Verification | None
    switched: bool
    standby: Sequence[int]
