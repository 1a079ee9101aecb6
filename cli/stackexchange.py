"""Import the users and badges of a Stack Exchange data dump through the HTTP contract.

The dump is read twice: first to the end, so that a broken file is found before anything is sent and every name is
settled, then again as a stream of commands. All of them carry idempotency keys made of the site and the ids of the
dump, so an import may be stopped at any time and run again.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final, NoReturn
from xml.parsers import expat

from cli.client import CliError, Command, Laurels, Patience, Report, Result, ServerError, Stage, batched, silent
from shared.domain.names import USERNAME_LIMIT, USERNAME_RAW_LIMIT, InvalidName, Name, achievement_name, username

__all__ = [
    "Achievement",
    "Badge",
    "Catalogue",
    "Dump",
    "DumpError",
    "ImportSummary",
    "Medal",
    "Row",
    "Step",
    "allocate_usernames",
    "award_steps",
    "check_dump",
    "import_dump",
    "read_badge",
    "read_rows",
    "read_user",
    "site_of",
    "user_steps",
    "was_there",
]

CHUNK: Final = 1 << 16
LARGEST_ELEMENT: Final = 1 << 20
BADGES: Final = "Badges.xml"
USERS: Final = "Users.xml"
LANGUAGE: Final = "en"

CREATED: Final = 201
CONFLICT: Final = 409

CREATING: Final = Stage("Users", "users")
DEFINING: Final = Stage("Achievements", "achievements")
AWARDING: Final = Stage("Awards", "awards")

_ID: Final = re.compile(r"-?[0-9]{1,18}")
_DATE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_SITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class DumpError(CliError):
    """The dump cannot be imported as it is; `str()` is one sentence that names the file and the row."""


@dataclass(frozen=True, slots=True)
class Medal:
    """The class of a badge: what it is called, and what it is worth."""

    title: str
    points: int


MEDALS: Final = {"1": Medal("gold", 100), "2": Medal("silver", 50), "3": Medal("bronze", 10)}


@dataclass(frozen=True, slots=True)
class Row:
    """One `<row … />`, its file and its number there, counted from 1."""

    file: str
    number: int
    attributes: Mapping[str, str]

    def __str__(self) -> str:
        """Say where the row is, and its Id where it can be relied on."""
        found = self.attributes.get("Id", "")
        return f"{self.file}, row {self.number}" + (f" (Id {found})" if _ID.fullmatch(found) else "")

    def integer(self, attribute: str) -> int:
        """Read an id; raise DumpError."""
        value = self.attributes.get(attribute, "")
        if not _ID.fullmatch(value):
            self.refuse(f"{attribute} is not a whole number")
        return int(value)

    def refuse(self, reason: str) -> NoReturn:
        """Raise DumpError for this row; the reason does not repeat what the row says."""
        message = f"{self}: {reason}."
        raise DumpError(message)


@dataclass(frozen=True, slots=True)
class Badge:
    """One badge that one user was awarded; `awarded_at` is in UTC."""

    row: Row
    badge_id: int
    user_id: int
    name: str
    medal: Medal
    tag_based: bool
    awarded_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the place in the dump that it comes from."""

    origin: str
    command: Command


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


@dataclass(frozen=True, slots=True)
class Achievement:
    """What a badge becomes: a name of its own, its points, and the row that first had it."""

    name: str
    points: int
    origin: str


class Catalogue:
    """Names the achievements that badges stand for, each name with one number of points.

    A badge becomes `NAME`, a tag badge `NAME (gold)`. Where a name is already worth something else, because one badge
    occurs in two classes, the class first met keeps the name and the later ones are qualified: `NAME (silver)`.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, Medal, bool], str] = {}
        self._achievements: dict[str, Achievement] = {}

    def __len__(self) -> int:
        """Count the achievements."""
        return len(self._achievements)

    def name_for(self, badge: Badge) -> str:
        """Return the name of the achievement, settled when such a badge is first met; raise DumpError."""
        such = (badge.name, badge.medal, badge.tag_based)
        if such not in self._names:
            self._names[such] = self._settle(badge)
        return self._names[such]

    def steps(self) -> Iterator[Step]:
        """Yield the definitions, in the order in which the badges occur."""
        for achievement in self._achievements.values():
            command = {
                "type": "define-achievement",
                "achievement_name": achievement.name,
                "achievement_description": "",
                "achievement_language": LANGUAGE,
                "achievement_point": achievement.points,
            }
            yield Step(achievement.origin, command)

    def _settle(self, badge: Badge) -> str:
        qualifier = f" ({badge.medal.title})"
        name = badge.name + qualifier if badge.tag_based else badge.name
        while True:
            try:
                key = achievement_name(name).key
            except InvalidName as refused:
                badge.row.refuse(f"Name cannot name an achievement: {str(refused).rstrip('.')}")
            wanted = Achievement(name, badge.medal.points, str(badge.row))
            known = self._achievements.setdefault(key, wanted)
            if known.points == wanted.points:
                return known.name
            name += qualifier


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that was read to its end: its name, its users in the order to create them, and what it holds."""

    folder: Path
    site: str
    usernames: Mapping[int, str]
    listed: int
    catalogue: Catalogue
    badges: int


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


def read_rows(path: Path, on_bytes: Callable[[int], None] = lambda _read: None) -> Iterator[Row]:
    """Yield the rows of a file as it is read, telling `on_bytes` how many bytes were; raise DumpError.

    A document type is skipped: nothing outside the file is ever read, and expat bounds what entities may grow to.
    """
    found: list[Row] = []
    numbers = count(1)

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            found.append(Row(path.name, next(numbers), attributes))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    read = 0
    for chunk in _chunks(path):
        read += len(chunk)
        try:
            parser.Parse(chunk, not chunk)
        # An encoding that is not known or not supported is reported by one of the other two.
        except (expat.ExpatError, ValueError, LookupError) as error:
            reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else "unknown encoding"
            message = (
                f"{path.name}, row {next(numbers)}, line {parser.CurrentLineNumber}: "
                f"the file is cut off or not well-formed XML ({reason})."
            )
            raise DumpError(message) from error
        if read - parser.CurrentByteIndex > LARGEST_ELEMENT:
            message = f"{path.name}, row {next(numbers)}: an element is larger than {LARGEST_ELEMENT:,} bytes."
            raise DumpError(message)
        yield from found
        found.clear()
        on_bytes(read)


def read_user(row: Row) -> tuple[int, str]:
    """Return the id and the display name, which may be empty; raise DumpError."""
    return row.integer("Id"), row.attributes.get("DisplayName", "")


def read_badge(row: Row) -> Badge:
    """Read one badge; raise DumpError."""
    name = row.attributes.get("Name", "").strip()
    if not name:
        row.refuse("Name is missing")
    medal = MEDALS.get(row.attributes.get("Class", ""))
    if medal is None:
        row.refuse("Class is not 1, 2 or 3")
    tag_based = row.attributes.get("TagBased", "False").lower()
    if tag_based not in {"true", "false"}:
        row.refuse("TagBased is not True or False")
    return Badge(
        row=row,
        badge_id=row.integer("Id"),
        user_id=row.integer("UserId"),
        name=name,
        medal=medal,
        tag_based=tag_based == "true",
        awarded_at=_date(row),
    )


def allocate_usernames(displayed: Mapping[int, str], strangers: Iterable[int] = ()) -> dict[int, str]:
    """Give every user a name that no other has, in the order of `displayed` (id to display name), strangers last.

    The lowest id with a display name has it; the others, and those whose name is not allowed, are called `NAME-ID`.
    Strangers, whom the dump does not name, are called `user-ID`. Where even that is somebody's display name, a number
    follows: `Bob-7-2`.
    """
    unnamed = sorted(set(strangers) - displayed.keys())
    allocated: dict[int, str] = {}
    taken: set[str] = set()
    for user_id in sorted(displayed):
        name = _allowed(displayed[user_id])
        if name and name.key not in taken:
            taken.add(name.key)
            allocated[user_id] = name.display
    for user_id in [*sorted(displayed.keys() - allocated.keys()), *unnamed]:
        name = _free_name(_cleaned(displayed.get(user_id, "")), user_id, taken)
        taken.add(name.key)
        allocated[user_id] = name.display
    return {user_id: allocated[user_id] for user_id in [*displayed, *unnamed]}


def user_steps(dump: Dump) -> Iterator[Step]:
    """Yield the users to create, those of `Users.xml` first and in its order."""
    for number, (user_id, name) in enumerate(dump.usernames.items(), 1):
        origin = f"{USERS}, row {number} (Id {user_id})" if number <= dump.listed else f"{BADGES}, UserId {user_id}"
        command = {
            "type": "create-user",
            "username": name,
            "user_language": LANGUAGE,
            "idempotency_key": f"{dump.site}/user/{user_id}",
        }
        yield Step(origin, command)


def award_steps(badges: Iterable[Badge], dump: Dump) -> Iterator[Step]:
    """Yield the awards, one a badge, in the order of the file."""
    for badge in badges:
        command = {
            "type": "award-achievement",
            "username": dump.usernames[badge.user_id],
            "achievement_name": dump.catalogue.name_for(badge),
            "awarded_at": badge.awarded_at.isoformat().replace("+00:00", "Z"),
            "idempotency_key": f"{dump.site}/badge/{badge.badge_id}",
        }
        yield Step(str(badge.row), command)


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
        # Only the end of a stage is worth waiting for; until then nobody reads what is not yet shown.
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


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the file in pieces, and an empty one at its end; raise DumpError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        message = f"{path.name} cannot be read ({error.strerror}): give the folder that the dump was unpacked in."
        raise DumpError(message) from error
    yield b""


def _bytes_told(path: Path, progress: Report) -> Callable[[int], None]:
    stage = Stage(f"Checking {path.name}", "bytes")
    return lambda read: progress(stage, read, path.stat().st_size)


def _date(row: Row) -> datetime:
    value = row.attributes.get("Date", "")
    if not _DATE.fullmatch(value):
        row.refuse("Date is not a date and time")
    try:
        moment = datetime.fromisoformat(value)
        # The dumps give no offset and mean UTC.
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        row.refuse("Date is not in the calendar")


def _allowed(raw: str) -> Name | None:
    try:
        return username(raw)
    except InvalidName:
        return None


def _cleaned(displayed: str) -> str:
    """Return what of a display name may stand in a username, of any length and possibly nothing."""
    name = _allowed(displayed)
    if name:
        return name.display
    # Normalisation is quadratic in combining marks, and a username has no room for what is cut off here.
    normalized = unicodedata.normalize("NFKC", displayed[:USERNAME_RAW_LIMIT])
    kept = (character for character in normalized if _allowed(f"a{character}a"))
    return " ".join("".join(kept).split())


def _free_name(stem: str, user_id: int, taken: AbstractSet[str]) -> Name:
    """Return `STEM-ID`, cut to fit, or `STEM-ID-2` and so on, whichever is nobody's yet."""
    return next(name for name in _suffixed_names(stem, f"-{user_id}") if name.key not in taken)


def _suffixed_names(stem: str, suffix: str) -> Iterator[Name]:
    for number in count(1):
        tail = suffix if number == 1 else f"{suffix}-{number}"
        cut = stem[: USERNAME_LIMIT - len(tail)].rstrip()
        # What is left of a name may break a rule about neighbours, so the plain form stands by.
        yield (_allowed(cut + tail) if cut else None) or username("user" + tail)
