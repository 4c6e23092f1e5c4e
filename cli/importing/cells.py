"""What a cell of a usage file may say: whole numbers, times, names; and what is wrong with one that does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

MAX_DIGITS = 18
MAX_SHOWN = 60  # characters of a faulty cell

WHOLE = "a whole number from 0, such as 1000"
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
_NO_FRACTION = re.compile(r"([0-9]+)\.0+")
_UNCLEAR = re.compile(r"[1-9][0-9]{0,2}\.000")  # one thousand to some, one to others
_EPOCH = re.compile(r"[0-9]{9,10}|[0-9]{12,13}")


class Fault(NamedTuple):
    """One cell that cannot be charged. `line` and `column` say where, `allowed` what may stand there."""

    line: int
    column: str
    value: str
    allowed: str

    def __str__(self) -> str:
        shown = self.value if len(self.value) <= MAX_SHOWN else f"{self.value[:MAX_SHOWN]}…"
        said = f"{self.column} is {shown!r}; allowed is {self.allowed}" if self.column else self.allowed
        return f"line {self.line}: {said}"


class Faulty(ValueError):
    """A row with faults: column, value and what is allowed, for each."""

    def __init__(self, *faults: tuple[str, str, str]) -> None:
        super().__init__(faults)
        self.faults = faults


def whole(cell: str, *, separator: str = ",") -> int:
    """The number of a cell: 1000, 1000.0, or (in a file separated by commas) 1,000. Raises ValueError with what may be.

    An empty cell is 0: nothing was used.
    """
    text = cell.strip()
    if not text:
        return 0
    if text.isascii():
        if separator == "," and _THOUSANDS.fullmatch(text):
            text = text.replace(",", "")
        elif (fraction := _NO_FRACTION.fullmatch(text)) and not _UNCLEAR.fullmatch(text):
            text = fraction[1]
        if text.isdigit() and len(text) <= MAX_DIGITS:
            return int(text)
    raise ValueError(WHOLE)


def numbers(cells: Mapping[str, str], separator: str) -> dict[str, int]:
    """The cells as whole numbers. Raises Faulty with all that are none."""
    found, wrong = {}, []
    for name, cell in cells.items():
        try:
            found[name] = whole(cell, separator=separator)
        except ValueError as error:
            wrong.append((name, cell, str(error)))
    if wrong:
        raise Faulty(*wrong)
    return found


def moment(cell: str) -> str | None:
    """The time of a cell as RFC 3339 in UTC; none where it is no time. Without a zone it is UTC; digits are seconds
    or milliseconds since 1970.
    """
    text = cell.strip()
    try:
        if text.isascii() and _EPOCH.fullmatch(text):
            seconds, millis = divmod(int(text), 1000) if len(text) > len("9999999999") else (int(text), 0)
            found = datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)
        elif len(text) < len("2026-01-01"):
            return None
        else:
            found = datetime.fromisoformat(text.upper().replace(" UTC", "Z"))
        found = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found.isoformat().replace("+00:00", "Z")
