"""Keeps a repeated message from filling the service's log."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
FORGET_SECONDS: Final = 60.0
KNOWN: Final = 1_000
"""Messages that are remembered: the latest."""


@dataclass(slots=True)
class _Known:
    due: float
    pause: float
    last: float
    held_back: int = 0


class Repeats(logging.Filter):
    """Lets a message pass when it is new, then after pauses that double, with how often it came meanwhile.

    One that has not come for FORGET_SECONDS is new again. A message with a traceback always passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.exc_info:
            return True
        key, now = (record.name, record.getMessage()), record.created
        known = self._known.pop(key, None)
        if known is None or now - known.last > FORGET_SECONDS:
            known = _Known(now, FIRST_SECONDS, now)
        passes = now >= known.due
        if passes:
            if known.held_back:
                record.msg, record.args = f"{key[1]} ({known.held_back} more meanwhile)", None
            known = _Known(now + known.pause, min(known.pause * 2, MOST_SECONDS), now)
        else:
            known.held_back, known.last = known.held_back + 1, now
        self._known[key] = known
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return passes
