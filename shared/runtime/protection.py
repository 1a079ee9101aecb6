"""Who may do what, and how often: bearer tokens and rate limits, both off unless the settings switch them on."""

import hashlib
import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from shared.runtime.problems import Problem
from shared.runtime.settings import Settings

PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "origin")
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """Digests of the tokens that may read, and of those that may command; an empty set asks for none."""

    read: frozenset[bytes]
    write: frozenset[bytes]

    def check(self, method: str, authorization: str | None) -> None:
        """Raise a 401 Problem without a known token, a 403 one with a token that does not suffice."""
        needed = (self.read | self.write if self.read else frozenset()) if method in READING else self.write
        if not needed:
            return
        token = _bearer(authorization)
        if token is None or token not in self.read | self.write:
            raise _unauthorized("This needs a bearer token that is known here.")
        if token not in needed:
            raise Problem(403, "forbidden", "This token may read but not command.")


class Protection:
    """Checks requests against the settings."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(_digests(settings.read_token_set), _digests(settings.write_token_set))
        self._operators = _digests(settings.admin_token_set)
        self._limit: RateLimitItem | None = parse(settings.rate_limit) if settings.rate_limit else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, method: str, authorization: str | None, client: str) -> None:
        """Raise a 401, 403 or 429 Problem for a request that may not pass."""
        if self._limit is not None:
            self._check_rate(self._limit, client)
        self._tokens.check(method, authorization)

    def check_operator(self, headers: Mapping[str, str], client: str) -> None:
        """Raise a 401 Problem without an operator's token or, where there are none, a 403 one for another machine."""
        if self._operators:
            if _bearer(headers.get("authorization")) not in self._operators:
                raise _unauthorized("This needs a token of LAURELS_ADMIN_TOKENS.")
            return
        # What came through a proxy or from a page in a browser only seems to come from this machine.
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        here = _is_loopback(client) and (host == "localhost" or _is_loopback(host))
        if any(name in headers for name in PASSED_ON) or not here:
            raise Problem(403, "forbidden", "Without LAURELS_ADMIN_TOKENS only this machine itself may do this.")

    def _check_rate(self, limit: RateLimitItem, client: str) -> None:
        if self._limiter.hit(limit, client):
            return
        seconds = math.ceil(self._limiter.get_window_stats(limit, client).reset_time - time.time())
        raise Problem(
            429, "rate-limited", f"No more than {limit} are allowed.", headers={"Retry-After": str(max(1, seconds))}
        )


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="laurels"'})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digests(tokens: frozenset[str]) -> frozenset[bytes]:
    return frozenset(_digest(token) for token in tokens)


def _digest(token: str) -> bytes:
    # Digests are looked up instead of tokens, so that the time of a look-up tells nothing about a token.
    return hashlib.sha256(token.encode()).digest()


def _bearer(authorization: str | None) -> bytes | None:
    scheme, _, token = (authorization or "").partition(" ")
    return _digest(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
