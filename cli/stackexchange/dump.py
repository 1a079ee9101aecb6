"""Reads the files of a dump row by row, as strictly as it has to be: what is wrong is named by file and row."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final, NoReturn
from xml.parsers import expat

from cli.console import CliError

CHUNK: Final = 1 << 16
LARGEST_ELEMENT: Final = 1 << 20
BADGES: Final = "Badges.xml"
USERS: Final = "Users.xml"
_ID: Final = re.compile(r"-?[0-9]{1,18}")
_DATE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


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
