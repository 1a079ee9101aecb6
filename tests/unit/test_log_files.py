"""Files of exports: whole or not there, and never taken for whole when they are cut off."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import log_files
from cli.log_files import LogFileError, Output, read_lines

LINES = [b'{"n":%d}' % number for number in range(5_000)]
SUFFIXES = (".ndjson", ".gz", ".zst", ".ZST")
COMPRESSED = (".gz", ".zst")

on_files = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, lines: Iterable[bytes], *, force: bool = False) -> None:
    with Output(path, force=force) as output:
        for line in lines:
            output.write(line + b"\n")


def exported(path: Path) -> bytes:
    """Return what a file of all lines holds."""
    if not path.exists():
        write(path, LINES)
    return path.read_bytes()


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"log{request.param}"


@pytest.mark.parametrize("lines", [LINES, []], ids=["many", "none"])
def test_what_was_written_is_read(path: Path, lines: list[bytes]) -> None:
    """Every line comes back, whatever the compression, and nothing else is left in the folder."""
    write(path, lines)
    assert lines == list(read_lines(path))
    assert [path] == list(path.parent.iterdir())


def test_the_suffix_names_the_format_that_others_read(tmp_path: Path) -> None:
    """Other programs read the files too."""
    text = b"".join(line + b"\n" for line in LINES)
    for suffix in SUFFIXES[:3]:
        write(tmp_path / f"log{suffix}", LINES)
    assert text == (tmp_path / "log.ndjson").read_bytes()
    assert text == gzip.decompress((tmp_path / "log.gz").read_bytes())
    with zstandard.open(tmp_path / "log.zst", "rb") as file:
        assert text == file.read()


@pytest.mark.parametrize("suffix", COMPRESSED)
@given(where=st.floats(0, 1, exclude_max=True))
@on_files
def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str, where: float) -> None:
    """Wherever it is cut, the end is missed: what was lost is not taken for never recorded."""
    data = exported(tmp_path / f"whole{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * where)])
    with pytest.raises(LogFileError, match="cut off"):
        list(read_lines(cut))


@pytest.mark.parametrize("suffix", COMPRESSED)
@given(where=st.floats(0.1, 1, exclude_max=True))
@on_files
def test_a_compressed_file_that_is_damaged_is_refused(tmp_path: Path, suffix: str, where: float) -> None:
    """A flipped bit is noticed, since both formats have a checksum, unless it means the same."""
    data = bytearray(exported(tmp_path / f"whole{suffix}"))
    data[int(len(data) * where)] ^= 0x10
    damaged = tmp_path / f"damaged{suffix}"
    damaged.write_bytes(data)
    try:
        lines = list(read_lines(damaged))
    except LogFileError as error:
        assert "was not restored" in str(error)  # noqa: PT017 - some bits do not matter, and then nothing is raised
    else:
        assert LINES == lines


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_files_that_were_put_together_are_one(tmp_path: Path, suffix: str) -> None:
    """Compressors that work in parallel write several streams one after another."""
    path = tmp_path / f"log{suffix}"
    write(path, LINES[:10])
    first = path.read_bytes()
    write(path, LINES[10:], force=True)
    path.write_bytes(first + path.read_bytes())
    assert LINES == list(read_lines(path))


def test_another_format_than_the_suffix_says_is_refused(tmp_path: Path) -> None:
    """The suffix is believed, and what does not fit it is named."""
    path = tmp_path / "log.zst"
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(LogFileError, match=r"log\.zst was not restored: its compressed data are damaged"):
        list(read_lines(path))


def test_a_line_without_an_end_is_not_kept_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, whatever file is named by mistake."""
    monkeypatch.setattr(log_files, "LONGEST_LINE", 10_000)
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"x" * 20_000))
    with pytest.raises(LogFileError, match="too long"):
        list(read_lines(path))


def test_an_export_that_breaks_leaves_nothing(path: Path) -> None:
    """A file has its name only when it is whole."""

    def broken() -> Iterator[bytes]:
        yield from LINES
        assert [f"{path.name}.part"] == [file.name for file in path.parent.iterdir()]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write(path, broken())
    assert [] == list(path.parent.iterdir())


def test_a_file_is_replaced_only_by_force(path: Path) -> None:
    """An export in a script never overwrites an older one by accident, and by force only once it is whole."""
    write(path, LINES[:1])
    with pytest.raises(LogFileError, match="--force"):
        write(path, LINES)
    with pytest.raises(ZeroDivisionError), Output(path, force=True) as output:
        output.write(bytes(1 // 0))
    assert LINES[:1] == list(read_lines(path))
    write(path, LINES, force=True)
    assert LINES == list(read_lines(path))


def test_two_exports_to_one_file_do_not_mix(path: Path) -> None:
    """The second one is refused, and the first one goes on."""
    with Output(path, force=False) as output:
        output.write(LINES[0] + b"\n")
        with pytest.raises(LogFileError, match=r"\.part exists"):
            write(path, LINES)
    assert LINES[:1] == list(read_lines(path))


@pytest.mark.parametrize("name", ["missing/log", "missing.zst"])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    """A folder or file that is not there is one sentence."""
    with pytest.raises(LogFileError, match=r"missing.* cannot be read: No such file"):
        list(read_lines(tmp_path / name))
    with pytest.raises(LogFileError, match="missing/log cannot be written: No such file"):
        write(tmp_path / "missing/log", LINES)


def test_a_damaged_checksum_is_what_it_says() -> None:
    """The tests above rest on checksums that both formats really write."""
    parameters = zstandard.get_frame_parameters(zstandard.ZstdCompressor(write_checksum=True).compress(b"{}"))
    assert parameters.has_checksum
    assert zlib.crc32(b"{}").to_bytes(4, "little") in gzip.compress(b"{}")
