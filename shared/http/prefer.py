"""The Prefer header (RFC 7240), as far as the contract uses it: `respond-async` and `wait=SECONDS`."""

import re
from dataclasses import dataclass

LONGEST_WAIT = 10.0

_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the client prefers; `wait` is in seconds, None when nothing was said."""

    respond_async: bool = False
    wait: float | None = None

    @property
    def applied(self) -> str | None:
        """The value of Preference-Applied."""
        if self.respond_async:
            return "respond-async"
        return f"wait={self.wait:g}" if self.wait is not None else None


NOTHING = Preferences()


def preferences(header: str | None) -> Preferences:
    """Return the preferences of a header; what is unknown or malformed is ignored, as the RFC asks."""
    if not header:
        return NOTHING
    respond_async, wait = False, None
    for part in header.split(","):
        token = part.partition(";")[0].strip()
        if token.lower() == "respond-async":
            respond_async = True
        elif wait is None and (match := _WAIT.fullmatch(token)):
            wait = min(float(match[1]), LONGEST_WAIT)
    return Preferences(respond_async, wait)
