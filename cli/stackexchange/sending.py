"""Imports the users and badges of a Stack Exchange data dump through the HTTP contract.

The dump is read twice: first to the end, so that a broken file is found before anything is sent and every name is
allocated, then again as a stream of commands. Their idempotency keys let an import be stopped and run again.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client import Laurels, Patience, Result, ServerError, batched
from cli.progress import Report, Stage, silent
from cli.stackexchange.dump import BADGES, USERS, DumpError, read_badge, read_rows, read_user
from cli.stackexchange.mapping import Catalogue, Dump, Step, award_steps, user_steps
from cli.stackexchange.usernames import allocate_usernames

CREATED: Final = 201
CONFLICT: Final = 409
CREATING: Final = Stage("Users", "users")
DEFINING: Final = Stage("Achievements", "achievements")
AWARDING: Final = Stage("Awards", "awards")
_SITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """How many users, achievements and awards of the dump the server has now.

    `already_there` counts the users and achievements among them that the server said it had before.
    """

    site: str
    users: int
    achievements: int
    awards: int
    already_there: int

    def __str__(self) -> str:
        """Return it as a sentence."""
        there = f" (of the users and achievements {self.already_there:,} were there)" if self.already_there else ""
        return f"{self.site}: {self.users:,} users, {self.achievements:,} achievements, {self.awards:,} awards{there}."


def import_dump(
    folder: Path,
    base_url: str,
    *,
    site: str | None = None,
    progress: Report = silent,
    token: str = "",
    patience: Patience | None = None,
) -> ImportSummary:
    """Import `Badges.xml` and, where it is there, `Users.xml`; raise DumpError or ServerError.

    Stopping it (KeyboardInterrupt) loses nothing, and running it again adds nothing twice.
    """
    dump = check_dump(folder, site=site, progress=progress)
    awards = award_steps(map(read_badge, read_rows(folder / BADGES)), dump)
    with Laurels(base_url, token=token, patience=patience) as server:
        taken = _deliver(server, CREATING, user_steps(dump), len(dump.usernames), progress)
        taken += _deliver(server, DEFINING, dump.catalogue.steps(), len(dump.catalogue), progress)
        _deliver(server, AWARDING, awards, dump.badges, progress)
    return ImportSummary(dump.site, len(dump.usernames), len(dump.catalogue), dump.badges, taken)


def check_dump(folder: Path, *, site: str | None = None, progress: Report = silent) -> Dump:
    """Read the whole dump without sending anything, and settle every name; raise DumpError."""
    name = site_of(folder, site)
    displayed = _display_names(folder / USERS, progress)
    strangers: set[int] = set()
    catalogue = Catalogue()
    badges = 0
    for row in read_rows(folder / BADGES, _bytes_told(folder / BADGES, progress)):
        badge = read_badge(row)
        catalogue.name_for(badge)
        if badge.user_id not in displayed:
            strangers.add(badge.user_id)
        badges += 1
    return Dump(folder, name, allocate_usernames(displayed, strangers), len(displayed), catalogue, badges)


def site_of(folder: Path, given: str | None = None) -> str:
    """Return the name that the idempotency keys begin with: the one given, else one made of the folder's name.

    Raise DumpError if the one given cannot stand in a key.
    """
    if given is not None:
        if not _SITE.fullmatch(given):
            message = (
                "The site's name has 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first."
            )
            raise DumpError(message)
        return given
    name = folder.resolve().name
    if _SITE.fullmatch(name):
        return name
    # Two folders whose names differ only in what is left out here must not share their keys.
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:48]
    return f"{readable or 'dump'}-{digest}"


def was_there(step: Step, result: Result) -> bool:
    """Say whether a user or an achievement was there before; raise ServerError for any refusal but that."""
    if result.status == CREATED:
        return False
    if result.status == CONFLICT and step.command["type"] in {"create-user", "define-achievement"}:
        return True
    message = f"{step.origin}: the server refused it with {result}."
    raise ServerError(message)


def _deliver(server: Laurels, stage: Stage, steps: Iterable[Step], total: int, progress: Report) -> int:
    """Post the steps in batches, and return how many users or achievements were there before."""
    done = there = 0
    progress(stage, done, total)
    for batch in batched(steps):
        # Only the end of a stage waits for the read models.
        last = done + len(batch) >= total
        results = server.post([step.command for step in batch], until_visible=last)
        there += sum(map(was_there, batch, results))
        done += len(batch)
        progress(stage, done, total)
    return there


def _display_names(path: Path, progress: Report) -> dict[int, str]:
    """Return the display names by user id, in the order of the file; empty where there is no such file."""
    displayed: dict[int, str] = {}
    if not path.exists():
        return displayed
    for row in read_rows(path, _bytes_told(path, progress)):
        user_id, name = read_user(row)
        if user_id in displayed:
            row.refuse("the Id occurs twice")
        displayed[user_id] = name
    return displayed


def _bytes_told(path: Path, progress: Report) -> Callable[[int], None]:
    stage = Stage(f"Checking {path.name}", "bytes")
    return lambda read: progress(stage, read, path.stat().st_size)
