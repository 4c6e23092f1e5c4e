"""The rows of a usage file: all of them checked before the first is sent, then each with its identity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from cli.failure import Failure
from cli.importing.forms import Charge, Fault, Faulty, Form, RowIdentities, moment, source_of
from cli.importing.source import Record, Unreadable, UsageFile

MAX_FAULTS = 20  # shown; the others are counted
_ID = re.compile(r"[!-~]{1,255}")
TIME = "time"


class UsageRow(NamedTuple):
    """One row to charge. `data` is that of a `scrip.usage.metered` event, or None for a row that costs nothing.

    `time` is when it was used (RFC 3339, UTC), where the row says so. `repeated`: the file has had this identity with
    the same content before, so that there is nothing to send.
    """

    id: str
    account: str
    data: dict[str, Any] | None
    time: str | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read. `id`: the column that is a row's identity; `time`: the one that says when it was used."""

    form: Form
    org: str
    id: str | None = None
    time: str | None = None


@dataclass(slots=True)
class Checked:
    """What a file would charge, and what is wrong with it. `rows` counts all of its rows but wrong ones."""

    rows: int = 0
    free: int = 0
    repeated: int = 0
    unpriced: int = 0
    untimed: int = 0
    credits: int = 0
    wrong: int = 0
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True  # to its end
    by: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # account and model: rows, credits
    first_unpriced: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "credits": self.credits,
            "free": self.free,
            "repeated_in_file": self.repeated,
            "unpriced": self.unpriced,
            "wrong_lines": self.wrong,
            "read_to_the_end": self.readable,
            "faults": [fault._asdict() for fault in self.faults],
            "by": [
                {"account": account, "model": model or None, "rows": rows, "credits": credits_}
                for (account, model), (rows, credits_) in sorted(self.by.items())
            ],
        }


class WrongFile(Failure):
    """A file with faulty lines, of which nothing was sent; `checked` has the faults."""

    def __init__(self, name: str, checked: Checked) -> None:
        self.checked = checked
        count = "1 line is" if checked.wrong == 1 else f"{checked.wrong:,} lines are"
        said = [f"{name}: {count} wrong; nothing was sent", *(f"  {fault}" for fault in checked.faults)]
        more = checked.wrong - len({fault.line for fault in checked.faults})
        if more > 0:
            said.append(f"  and {more:,} more lines")
        if not checked.readable:
            said.append("  the file cannot be read further, so what follows was not checked")
        super().__init__("\n".join(said))


def check_rows(file: UsageFile, reading: Reading) -> Checked:
    """Read the whole file and price it. Raises WrongFile, with every line that cannot be charged."""
    checked = Checked()
    try:
        file.choose(lambda header: _columns(header, reading))
        for record, result in _parsed(file, reading):
            if isinstance(result, Faulty):
                checked.wrong += 1
                for column, value, allowed in result.faults:
                    if len(checked.faults) < MAX_FAULTS:
                        checked.faults.append(Fault(record.line, column, value, allowed))
            else:
                _add(checked, record, *result)
    except Unreadable as error:
        checked.wrong += 1
        checked.readable = False
        checked.faults.append(Fault(error.line, "", "", error.text))
    except ValueError as error:
        checked.wrong += 1
        checked.readable = False
        checked.faults.append(Fault(1, "", "", str(error)))
    if checked.wrong:
        raise WrongFile(file.name, checked)
    return checked


def rows_of(file: UsageFile, reading: Reading) -> Iterator[UsageRow]:
    """The rows of a file that `check_rows` has found to be right."""
    for _record, result in _parsed(file, reading):
        if isinstance(result, Faulty):  # the copy is private, so this cannot be
            raise TypeError(f"a row changed after it was checked: {result}")
        yield result[0]


def _columns(header: Any, reading: Reading) -> None:
    for option, name in (("--id", reading.id), ("--time", reading.time)):
        if name is not None and name not in header:
            raise ValueError(f"{option} names the column {name!r}; the columns are {', '.join(header)}")
    reading.form.columns(header)


Parsed = tuple[UsageRow, Charge]


def _parsed(file: UsageFile, reading: Reading) -> Iterator[tuple[Record, Parsed | Faulty]]:
    identities = RowIdentities()
    by_id: dict[str, bytes] = {}
    time = reading.time or (TIME if TIME in file.header else None)
    for record in file.records():
        result: Parsed | Faulty
        try:
            result = _row(record, file, reading, time, identities, by_id)
        except Faulty as error:
            result = error
        yield record, result


def _row(
    record: Record,
    file: UsageFile,
    reading: Reading,
    time: str | None,
    identities: RowIdentities,
    by_id: dict[str, bytes],
) -> Parsed:
    cells = record.cells
    if len(cells) != len(file.header):
        raise Faulty(("", "", f"{len(cells)} cells where the header has {len(file.header)}"))
    row = dict(zip(file.header, cells, strict=True))
    for name, cell in row.items():
        if "\x00" in cell:
            raise Faulty((name, cell, "text without a NUL character"))
    charge = reading.form.row(row, file.separator)
    if len(source_of(reading.org, charge.account)) > 255:
        raise Faulty(("", "", f"the account {charge.account} is too long together with the organisation's name"))
    at = moment(row[time]) if time is not None else None
    if reading.time is not None and at is None:
        raise Faulty((reading.time, row[reading.time], "a time such as 2026-01-31T12:00:00Z"))
    counted = identities.next(cells)
    if reading.id is None:
        return UsageRow(counted, charge.account, charge.data, at), charge
    chosen = row[reading.id].strip()
    if not _ID.fullmatch(chosen):
        raise Faulty((reading.id, row[reading.id], "1 to 255 printable characters of ASCII without spaces"))
    content = sha256(repr(cells).encode("utf-8", "surrogatepass")).digest()[:16]
    repeated = chosen in by_id
    if by_id.setdefault(chosen, content) != content:
        raise Faulty((reading.id, chosen, "an id of its own: another row of the file with other content has it"))
    return UsageRow(chosen, charge.account, charge.data, at, repeated), charge


def _add(checked: Checked, record: Record, row: UsageRow, charge: Charge) -> None:
    checked.rows += 1
    if row.repeated:
        checked.repeated += 1
        return
    if charge.credits is None:
        checked.unpriced += 1
        checked.first_unpriced = checked.first_unpriced or f"line {record.line}: {charge.what}"
    checked.free += charge.data is None
    checked.credits += charge.credits or 0
    counts = checked.by.setdefault((charge.account, charge.what), [0, 0])
    counts[0] += 1
    counts[1] += charge.credits or 0
    checked.untimed += row.time is None
