"""A client of one Laurels server: it posts commands in bulk and retries through short outages.

It knows the HTTP contract and nothing of the services behind it. Repeating a request is safe because every command
sent through here carries an idempotency key or says something that can only be true once.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import orjson
from pydantic import TypeAdapter, ValidationError

from cli.console import CliError
from shared.runtime.backoff import Backoff

API_PREFIX: Final = "/api/v1"
BATCH_SIZE: Final = 1_000
JSON: Final = "application/json"
RETRIED: Final = frozenset({429, 502, 503, 504})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Command = Mapping[str, object]
T = TypeVar("T")


class ServerError(CliError):
    """The server cannot be reached, or its answer breaks the contract."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one command: the status the single request would have had, and its body or problem."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    problem: Mapping[str, Any] = field(default_factory=dict)

    @property
    def transient(self) -> bool:
        """Whether the same command may fare better later: too busy, unreachable, or its key still in progress."""
        return self.status in RETRIED or "in-progress" in str(self.problem.get("type", ""))

    def __str__(self) -> str:
        """Tell the status and, where there is one, the problem, without a full stop."""
        said = [str(self.problem[member]).rstrip(".") for member in ("title", "detail") if self.problem.get(member)]
        return ": ".join([f"{self.status} {httpx.codes.get_reason_phrase(self.status)}".rstrip(), *said])


RESULTS: Final = TypeAdapter(list[Result])
OBJECT: Final = TypeAdapter(Mapping[str, Any])
OBJECTS: Final = TypeAdapter(list[Mapping[str, Any]])


@dataclass(frozen=True, slots=True)
class Patience:
    """After how many seconds of failures to give up; clock and sleep are for tests to replace."""

    give_up_after: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class _Retry:
    """Why an attempt failed for now, and how many seconds the server asked to wait, if it did."""

    reason: str
    after: float | None = None


class Laurels:
    """One server, by its base URL, with or without `/api/v1`; a context manager that closes its connections.

    `token` is the bearer token that a protected server asks for.
    """

    def __init__(self, base_url: str, *, token: str = "", patience: Patience | None = None) -> None:
        root = _api_root(base_url)
        self._patience = patience or Patience()
        self._http = httpx.Client(
            base_url=root,
            headers={"Accept": JSON} | ({"Authorization": f"Bearer {token.strip()}"} if token.strip() else {}),
            timeout=httpx.Timeout(30.0, connect=5.0),
            # A proxy configured for the Internet cannot reach this very machine.
            trust_env=root.host not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        """Keep connections open until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._http.close()

    def post(self, commands: Sequence[Command], *, until_visible: bool = True) -> list[Result]:
        """Post up to 10,000 commands and return one result each, in order, none of them transient; raise ServerError.

        Where `until_visible` is false, the server need not wait until reads show the effect.
        """
        headers = {"Content-Type": JSON} | ({} if until_visible else {"Prefer": "respond-async"})
        body = orjson.dumps(commands)

        def attempt() -> list[Result] | _Retry:
            answer = self._attempt("POST", "/commands", content=body, headers=headers)
            if isinstance(answer, _Retry):
                return answer
            results = _results(answer, len(commands))
            # The keys let the whole request be repeated: what succeeded is answered again and not done again.
            return next((_Retry(str(result)) for result in results if result.transient), results)

        return self._until_it_works(attempt)

    def pages(self, path: str, **query: str | int) -> Iterator[Mapping[str, Any]]:
        """Yield the objects of a list, page after page; raise ServerError."""
        following: str | None = str(httpx.URL(path, params=query))
        while following:
            answer = self._until_it_works(partial(self._attempt, "GET", following))
            yield from _read(OBJECTS, answer)
            following = answer.links.get("next", {}).get("url")
            following = following and str(answer.url.join(following))

    def _attempt(self, method: str, url: str | httpx.URL, **request: Any) -> httpx.Response | _Retry:  # noqa: ANN401
        try:
            answer = self._http.request(method, url, **request)
        except httpx.TransportError as error:
            return _Retry(f"no answer ({type(error).__name__})")
        except httpx.HTTPError as error:
            raise ServerError(f"{method} {url} failed ({type(error).__name__}).") from error
        if answer.status_code in RETRIED:
            return _Retry(str(_refusal(answer)), retry_after(answer.headers.get("Retry-After"), datetime.now(UTC)))
        if not answer.is_success:
            raise ServerError(f"The server refused {method} {answer.url.path} with {_refusal(answer)}.")
        return answer

    def _until_it_works(self, attempt: Callable[[], T | _Retry]) -> T:
        patience = self._patience
        backoff = Backoff(first=0.5, most=8.0)
        deadline = patience.clock() + patience.give_up_after
        failures = 0
        while isinstance(outcome := attempt(), _Retry):
            failures += 1
            pause = max(outcome.after or 0.0, backoff.next_pause())
            if patience.clock() + pause > deadline:
                raise ServerError(
                    f"Gave up on {self._http.base_url} after {failures} attempts; the last one: {outcome.reason}."
                )
            patience.sleep(pause)
        return outcome


def batched(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    """Cut items into lists of `size`, the last one shorter, none empty."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read `Retry-After`, a number of seconds or a date, as seconds from now; None where it says nothing useful."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    # A date that claims no zone is in UTC, as every HTTP date is.
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return max(0.0, (moment - now).total_seconds())


def _api_root(base_url: str) -> httpx.URL:
    """Return the base URL with `/api/v1` at its end; raise ServerError where it is no HTTP address."""
    try:
        url = httpx.URL(base_url.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ServerError("The server's address must look like http://localhost:8000.")
    return url if url.path.endswith(API_PREFIX) else url.copy_with(path=url.path.rstrip("/") + API_PREFIX)


def _results(answer: httpx.Response, expected: int) -> list[Result]:
    """Read the results of a bulk request; raise ServerError where they break the contract."""
    results = _read(RESULTS, answer)
    if len(results) != expected:
        raise ServerError("The server did not answer every command, so it is not a Laurels server of this version.")
    return results


def _read(shape: TypeAdapter[T], answer: httpx.Response) -> T:
    try:
        return shape.validate_json(answer.content)
    except ValidationError:
        raise ServerError("The server's answer is not what a Laurels server of this version answers.") from None


def _refusal(answer: httpx.Response) -> Result:
    try:
        return Result(answer.status_code, problem=_read(OBJECT, answer))
    except ServerError:
        return Result(answer.status_code)
