"""Clients that read and command without pause, and tell afterwards what they were answered."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from tests.compose.project import Project

READERS = 4
TIMEOUT = 60.0


@dataclass(slots=True)
class Reads:
    """The status of every read, or the name of the error that it ended with, and its seconds."""

    answers: list[int | str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@contextmanager
def reading(project: Project) -> Iterator[Reads]:
    """Read a statistic in several threads for as long as the context lasts."""
    found, stop = Reads(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            began = time.monotonic()
            answer: int | str
            try:
                answer = httpx.get(f"{project.api}/users/achievements-stats/max-points/", timeout=TIMEOUT).status_code
            except httpx.HTTPError as error:
                answer = type(error).__name__
            found.seconds.append(time.monotonic() - began)
            found.answers.append(answer)
            stop.wait(0.02)

    with _threads(read, READERS, stop):
        yield found


@dataclass(slots=True)
class Awards:
    """Who is awarded, and the ids that were answered, one for each key."""

    username: str
    ids: dict[str, int] = field(default_factory=dict)


@contextmanager
def awarding(project: Project, username: str) -> Iterator[Awards]:
    """Award somebody without pause; what was not answered is sent again under its key."""
    user = {"username": username, "user_language": "en"}
    assert 201 == httpx.post(f"{project.api}/users/", json=user, timeout=TIMEOUT).status_code
    found, stop = Awards(username), threading.Event()

    def award() -> None:
        while not stop.is_set():
            key = f"{username}-{len(found.ids)}"
            # Also after the end: the last command is answered before anybody counts.
            while key not in found.ids:
                _try(project, found, key)

    with _threads(award, 1, stop):
        yield found


def _try(project: Project, found: Awards, key: str) -> None:
    with suppress(httpx.HTTPError):
        answer = httpx.post(
            f"{project.api}/users/{found.username}/achievements/",
            json={"achievement_id": 1},
            headers={"Idempotency-Key": key, "Prefer": "respond-async"},
            timeout=TIMEOUT,
        )
        if answer.status_code == 201:
            found.ids[key] = answer.json()["award_id"]
        else:
            assert 503 == answer.status_code, answer.text
    time.sleep(0.05)


@contextmanager
def _threads(target: object, count: int, stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=target) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
