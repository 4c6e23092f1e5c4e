"""A usage file as it is read: whole and once, in whatever encoding and with whatever separator it came."""

from __future__ import annotations

import csv
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from cli.failure import Failure

STDIN = "-"
SEPARATORS = (",", ";", "\t", "|")  # the comma first: files imported by older versions are read as they were
IN_MEMORY = 16 * 1024 * 1024  # bytes; a larger file is copied to the disk
_PIECE = 1024 * 1024
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NO_TEXT = {
    b"\x1f\x8b": ("compressed with gzip", "zcat"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstdcat"),
    b"\xfd7zXZ": ("compressed with xz", "xzcat"),
    b"BZh": ("compressed with bzip2", "bzcat"),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", ""),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", ""),
    b"PAR1": ("a Parquet file", ""),
    b"SQLite format 3\x00": ("a SQLite database", ""),
}


class Record(NamedTuple):
    """One row: the line on which it begins (from 1), and its cells as they are written."""

    line: int
    cells: list[str]


class Unreadable(ValueError):
    """From this line on the file cannot be read; `text` says why."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class UsageFile:
    """A private copy of the file: what is charged is what was checked, whatever becomes of the original meanwhile."""

    def __init__(self, name: str, copy: IO[bytes]) -> None:
        self.name = name
        self._copy = copy
        self._encoding = _encoding(copy)
        self._skip = 0  # lines before the header
        self.separator = ","
        self.header: list[str] = []
        self.ends_in_line = _ends_without_line_end(copy)

    def choose(self, fits: Callable[[Sequence[str]], None]) -> None:
        """Find the separator with which the header has what is needed. Raises ValueError of the likeliest one."""
        said: list[tuple[int, ValueError]] = []
        for separator, header in self._headers():
            try:
                _check_header(header)
                fits(header)
            except ValueError as error:
                said.append((len(header), error))
            else:
                self.separator, self.header = separator, header
                return
        if not said:
            raise ValueError("the header has a quote that does not end")
        raise max(said, key=lambda each: each[0])[1]

    def records(self) -> Iterator[Record]:
        """The rows below the header; lines without any cell that says something are left out. Raises Unreadable."""
        self._copy.seek(0)
        text = TextIOWrapper(self._copy, encoding=self._encoding, newline="")
        reader = csv.reader(text, delimiter=self.separator, strict=True)
        line = 1
        try:
            for _ in range(self._skip):
                next(text)
            next(reader)
            line = self._skip + reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield Record(line, cells)
                line = self._skip + reader.line_num + 1
        except UnicodeError as error:
            raise self._undecodable(line, error) from error
        except csv.Error as error:
            raise Unreadable(line, str(error)) from error
        finally:
            text.detach()

    def _headers(self) -> list[tuple[str, list[str]]]:
        """The header by each separator with which it can be read. Raises Unreadable where there is no text."""
        self._copy.seek(0)
        text = TextIOWrapper(self._copy, encoding=self._encoding, newline="")
        try:
            first = text.readline().strip("\r\n")
            self._skip = int(first.lower().startswith("sep=") and len(first) == len("sep=;"))  # Excel's own note
            found = []
            for separator in SEPARATORS:
                text.seek(0)
                for _ in range(self._skip):
                    text.readline()
                try:
                    names = next(csv.reader(text, delimiter=separator, strict=True), [])
                except csv.Error:
                    continue  # `"a";"b"` is no line of cells with commas between them
                found.append((separator, [name.strip() for name in names]))
        except UnicodeError as error:
            raise self._undecodable(1, error) from error
        else:
            return found
        finally:
            text.detach()

    def _undecodable(self, line: int, error: UnicodeError) -> Unreadable:
        encoding = "UTF-8" if self._encoding == "utf-8-sig" else self._encoding.upper()
        said = getattr(error, "reason", str(error))
        return Unreadable(line, f"{self.name} is not {encoding} text: {said} near line {line}")


@contextmanager
def usage_file(path: Path) -> Iterator[UsageFile]:
    """Read a file (`-`: standard input) whole. Raises Failure for what is no text or changes meanwhile, OSError."""
    with SpooledTemporaryFile(max_size=IN_MEMORY) as copy:
        if str(path) == STDIN:
            _copy_whole(sys.stdin.buffer, copy, STDIN)
            name = "standard input"
        else:
            name = str(path)
            with path.open("rb") as original:
                _copy_whole(original, copy, name)
        copy.seek(0)
        head = copy.read(16)
        for magic, (what, reader) in _NO_TEXT.items():
            if head.startswith(magic):
                how = f"{reader} FILE | scrip import - …" if reader else "save it as CSV"
                raise Failure(f"{name} is {what}, not text; import its text: {how}.")
        yield UsageFile(name, copy)


def _copy_whole(original: IO[bytes], copy: IO[bytes], name: str) -> None:
    """Copy to the end. A regular file must be as long as it says, and the same afterwards as before."""
    before = os.fstat(original.fileno())
    copied = 0
    while piece := original.read(_PIECE):
        copied += len(piece)
        copy.write(piece)
    after = os.fstat(original.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if stat.S_ISREG(before.st_mode) and (changed or copied != after.st_size):
        raise Failure(f"{name} changed while it was read, so nothing was charged; import it when it is complete.")


def _encoding(copy: IO[bytes]) -> str:
    copy.seek(0)
    head = copy.read(4)
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), "utf-8-sig")


def _ends_without_line_end(copy: IO[bytes]) -> bool:
    """Whether the last line has no line end: a file that was cut in the middle of a number looks so too."""
    size = copy.seek(0, os.SEEK_END)
    copy.seek(max(0, size - 4))
    return size > 0 and not copy.read(4).rstrip(b"\x00").endswith((b"\n", b"\r"))


def _check_header(header: Sequence[str]) -> None:
    if not any(header):
        raise ValueError("the file is empty; the first line must name the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"two columns have the same name: {', '.join(map(repr, twice))}")
    if any("\x00" in name for name in header):
        raise ValueError("the header has a NUL character; is the file UTF-16 without a byte order mark?")
