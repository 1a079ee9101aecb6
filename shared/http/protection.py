"""Who may do what, how often, and under which name: bearer tokens, rate limits and the `Host` of a request."""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from shared.http.problems import Problem
from shared.runtime.hosts import is_loopback
from shared.runtime.settings import Settings

PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "origin")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_HOST = 260
"""Characters of a name and a port; what is longer is none."""
EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
MISDIRECTED = (
    "This instance does not answer for that Host. Its operator can name the host in LAURELS_HOSTS, "
    "or set LAURELS_WRITE_TOKENS."
)
CLOSED = "Nobody may command here: LAURELS_READ_TOKENS are set, and LAURELS_WRITE_TOKENS are not."


@dataclass(frozen=True, slots=True)
class Tokens:
    """Digests of the tokens that may read, and of those that may command; both empty ask for none."""

    read: frozenset[bytes]
    write: frozenset[bytes]

    def check(self, method: str, authorization: str | None) -> None:
        """Raise a 401 Problem without a known token, a 403 one with a token that does not suffice."""
        reads = method in READING
        if not self.read and (reads or not self.write):
            return
        token = _bearer(authorization)
        if token is None or token not in self.read | self.write:
            raise _unauthorized("This needs a bearer token that is known here." if reads or self.write else CLOSED)
        if not reads and token not in self.write:
            raise Problem(403, "forbidden", "This token may read but not command." if self.write else CLOSED)


class Protection:
    """Checks requests against the settings."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(_digests(settings.read_token_set), _digests(settings.write_token_set))
        self._operators = _digests(settings.admin_token_set)
        self._limit: RateLimitItem | None = parse(settings.rate_limit) if settings.rate_limit else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        # A page on another site may have its name resolved to this machine, but cannot know a token (DNS rebinding).
        self._checks_host = bool(settings.host_set) or not settings.write_token_set
        self._hosts = settings.host_set | ({settings.host.lower()} - EVERY_ADDRESS)
        self._is_known = lru_cache(maxsize=256)(self._is_ours)

    def check(self, method: str, authorization: str | None) -> None:
        """Raise a 401 or 403 Problem for a request that may not pass."""
        self._tokens.check(method, authorization)

    def check_host(self, host: str | None) -> None:
        """Raise a 421 Problem for a request that is addressed to another host than this instance answers for."""
        if self._checks_host and not (host and len(host) <= LONGEST_HOST and self._is_known(host)):
            raise Problem(421, "misdirected", MISDIRECTED)

    def check_operator(self, headers: Mapping[str, str], client: str) -> None:
        """Raise a 401 Problem without an operator's token or, where there are none, a 403 one for another machine."""
        if self._operators:
            if _bearer(headers.get("authorization")) not in self._operators:
                raise _unauthorized("This needs a token of LAURELS_ADMIN_TOKENS.")
            return
        # What came through a proxy or from a page in a browser only seems to come from this machine.
        here = is_loopback(client) and is_loopback(_name(headers.get("host", "")))
        if any(name in headers for name in PASSED_ON) or not here:
            raise Problem(403, "forbidden", "Without LAURELS_ADMIN_TOKENS only this machine itself may do this.")

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        return is_loopback(name) or not self._hosts.isdisjoint({host.lower(), name.lower(), name.lower().strip("[]")})

    def check_rate(self, client: str) -> None:
        """Raise a 429 Problem for a client that asks more often than is allowed."""
        limit = self._limit
        if limit is None or self._limiter.hit(limit, client):
            return
        seconds = math.ceil(self._limiter.get_window_stats(limit, client).reset_time - time.time())
        raise Problem(
            429, "rate-limited", f"No more than {limit} are allowed.", headers={"Retry-After": str(max(1, seconds))}
        )


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="laurels"'})


def _name(host: str) -> str:
    """Return a `Host` without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host


def _digests(tokens: frozenset[str]) -> frozenset[bytes]:
    return frozenset(_digest(token) for token in tokens)


def _digest(token: str) -> bytes:
    # Digests are looked up instead of tokens, so that the time of a look-up tells nothing about a token.
    return hashlib.sha256(token.encode()).digest()


def _bearer(authorization: str | None) -> bytes | None:
    scheme, _, token = (authorization or "").partition(" ")
    return _digest(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
