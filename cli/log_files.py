"""`laurels export` and `laurels restore`: the whole log in a file, one CloudEvent a line."""

import asyncio
import os
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Protocol, Self

import typer
import zstandard

from cli.console import CliError, Yes, confirm, print_sentence
from cli.instance import database_settings
from cli.progress import Report, Stage, progress_bars, silent
from command_api import restoring
from shared.event_store.log import head_position
from shared.event_store.reading import all_events
from shared.events.json_lines import to_line
from shared.runtime.database import Role, connected

EXPORTING: Final = Stage("Exporting", "events")
RESTORING: Final = Stage("Restoring", "bytes")
STANDARD_OUTPUT: Final = Path("-")

READ_BYTES: Final = 16 * 1024
"""Read at once: little, since what is compressed well becomes many times as much."""
LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line, far beyond any event: a file without line ends must not fill the memory."""
GZIP: Final = 16 + zlib.MAX_WBITS


class LogFileError(CliError):
    """The message is one sentence for the operator."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_COMPRESSORS: Final[dict[str, Callable[[], _Compressor]]] = {
    ".zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compressobj(),
    ".gz": partial(zlib.compressobj, wbits=GZIP),
}
_DECOMPRESSORS: Final[dict[str, Callable[[], _Decompressor]]] = {
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
    ".gz": partial(zlib.decompressobj, wbits=GZIP),
}


def export(
    file: Annotated[Path, typer.Argument(help="Compressed if it ends in .zst or .gz; - is standard output.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write the whole log as CloudEvents, one event a line."""
    settings = database_settings()
    with progress_bars() as report:
        count = asyncio.run(_export(settings.database_url, file, force=force, report=report))
    if file != STANDARD_OUTPUT:
        print_sentence(f"{count:,} events are in {file}.")


def restore(
    file: Annotated[Path, typer.Argument(help="An export; its compression is told by .zst or .gz at its end.")],
    *,
    yes: Yes = False,
) -> None:
    """Fill an empty instance with an export, positions kept; if anything is wrong, nothing changes."""
    settings = database_settings()
    confirm(f"Fill the empty log of this instance with the events of {file}?", yes=yes)
    try:
        with progress_bars() as report:
            count = asyncio.run(_restore(settings.database_url, file, settings.language_set, report))
    except restoring.NotEmpty as error:
        raise LogFileError(str(error)) from error
    except restoring.BadLog as error:
        raise LogFileError(f"{file} was not restored: {error}.") from error
    print_sentence(f"{count:,} events are restored; the read models follow.")


async def _export(url: str, path: Path, *, force: bool, report: Report) -> int:
    async with connected(url, Role.COMMAND) as connection:
        head = await head_position(connection)
        with Output(path, force=force) as output:
            async for events in all_events(connection, head):
                output.write(b"".join(map(to_line, events)))
                report(EXPORTING, events[-1].position, head)
    return head


async def _restore(url: str, path: Path, languages: frozenset[str], report: Report) -> int:
    async with connected(url, Role.COMMAND, restoring.SESSION, command_timeout=None) as connection:
        with closing(read_lines(path, report)) as lines:
            return await restoring.restore(connection, lines, languages)


class Output:
    """A file that has its name only once it is whole, compressed as that name says; or standard output."""

    def __init__(self, path: Path, *, force: bool) -> None:
        self._path, self._force = path, force
        self._part = path.with_name(f"{path.name}.part")
        compressor = _COMPRESSORS.get(path.suffix.lower())
        self._compressor = compressor and compressor()

    def __enter__(self) -> Self:
        with _trouble(self._path, "written"):
            self._file = self._open()
        return self

    def _open(self) -> BinaryIO:
        if self._path == STANDARD_OUTPUT:
            return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        if self._force:
            return self._part.open("wb")
        if self._path.exists():
            raise LogFileError(f"{self._path} exists; --force replaces it.")
        try:
            return self._part.open("xb")
        except FileExistsError:
            message = f"{self._part} exists: another export writes it, or one was killed; --force replaces it."
            raise LogFileError(message) from None

    def write(self, data: bytes) -> None:
        """Add to the file. Raises LogFileError."""
        with _trouble(self._path, "written"):
            self._file.write(self._compressor.compress(data) if self._compressor else data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = False
        try:
            if kind is None:
                with _trouble(self._path, "written"):
                    self._finish()
                whole = True
        finally:
            # What could not be written once cannot be written by closing either.
            with suppress(OSError):
                self._file.close()
            if not whole and self._path != STANDARD_OUTPUT:
                self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._compressor:
            self._file.write(self._compressor.flush())
        self._file.flush()
        if self._path != STANDARD_OUTPUT:
            # A name must never be on disk before what it names is.
            os.fsync(self._file.fileno())
            self._part.replace(self._path)


def read_lines(path: Path, report: Report = silent) -> Generator[bytes, None, None]:
    """Yield the lines of an export, without their ends. Raises LogFileError where the file is cut off or damaged."""
    with _opened(path) as file:
        yield from _lines(path, _decompressed(path, _read(path, file, report)))


def _read(path: Path, file: BinaryIO, report: Report) -> Iterator[bytes]:
    with _trouble(path, "read"):
        size = os.fstat(file.fileno()).st_size
        done = 0
        while data := file.read(READ_BYTES):
            done += len(data)
            report(RESTORING, done, size)
            yield data


def _decompressed(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    start = _DECOMPRESSORS.get(path.suffix.lower())
    if start is None:
        yield from chunks
        return
    decompressor = start()
    try:
        for chunk in chunks:
            data = chunk
            while data:
                # Compressed files that were put together are one: where a stream ends, the next one begins.
                decompressor = start() if decompressor.eof else decompressor
                yield decompressor.decompress(data)
                data = decompressor.unused_data
    except (zlib.error, zstandard.ZstdError) as error:
        raise LogFileError(f"{path} was not restored: its compressed data are damaged ({error}).") from error
    if not decompressor.eof:
        raise LogFileError(f"{path} was not restored: it is cut off in the middle of its compressed data.")


def _lines(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LONGEST_LINE:
            raise LogFileError(f"{path} was not restored: it has a line that is too long for an event.")
    if rest:
        yield rest


def _opened(path: Path) -> BinaryIO:
    with _trouble(path, "read"):
        return path.open("rb")


@contextmanager
def _trouble(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogFileError(f"{path} cannot be {what}: {error.strerror or error}.") from error
