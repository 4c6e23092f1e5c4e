"""A usage file's rows as metered usage: by rates per column, or in the general form that the price book prices."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cli.failure import Failure
from cli.importing.identity import RowIdentities
from domain.prices.quote import metered

MAX_AMOUNT = 10**12
# The general form's columns; every other one is an option of the price.
GENERAL = frozenset({"time", "user", "account", "operation", "provider", "model", "amount"})


class UsageRow(NamedTuple):
    """One row to charge. `data` is that of a `scrip.usage.metered` event, or None for a row that costs nothing."""

    id: str
    account: str
    data: dict[str, Any] | None


class Form(Protocol):
    """How the cells of a file become usage."""

    def columns(self, header: Sequence[str]) -> None:
        """Check the header. Raises ValueError."""

    def row(self, cells: dict[str, str]) -> tuple[str, dict[str, Any] | None]:
        """The account and the event's data of a row. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class ByRates:
    """Each row costs the sum of column x credits per 1,000, rounded up once per row."""

    account: str
    rates: dict[str, int]

    def columns(self, header: Sequence[str]) -> None:
        """Every rate needs its column."""
        for name in self.rates:
            if name not in header:
                raise ValueError(f"there is no column {name}; the columns are {', '.join(header)}")

    def row(self, cells: dict[str, str]) -> tuple[str, dict[str, Any] | None]:
        """Units must be whole numbers from 0."""
        usage = {name: _whole(name, cells[name]) for name in self.rates}
        amount = _within(metered(self.rates, usage))
        return self.account, {"address": self.account, "amount": amount} if amount else None


@dataclass(frozen=True, slots=True)
class ByPriceBook:
    """Columns user (or account), operation, provider, model, amount; any other column is an option of the price."""

    account: str | None

    def columns(self, header: Sequence[str]) -> None:
        """Somebody must pay, and something must be priced."""
        if self.account is None and not {"user", "account"} & set(header):
            raise ValueError("a column `user` or `account`, or --account, must say who pays")
        if not {"operation", "model", "amount"} & set(header):
            raise ValueError("without --rate a column `model`, `operation` or `amount` must say what is charged")

    def row(self, cells: dict[str, str]) -> tuple[str, dict[str, Any] | None]:
        """Empty cells are left out; `time` is part of the row's identity only."""
        given = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
        account = self.account or given.get("account") or (f"user:{given['user']}:credits" if "user" in given else None)
        if account is None:
            raise ValueError("nobody is named to pay")
        data: dict[str, Any] = {"address": account}
        if "amount" in given:
            amount = _within(_whole("amount", given["amount"]))
            return account, {**data, "amount": amount} if amount else None
        data |= {name: given[name] for name in ("operation", "provider", "model") if name in given}
        if not {"operation", "model"} & data.keys():
            raise ValueError("neither operation nor model nor amount is given")
        options = {name: _option(cell) for name, cell in given.items() if name not in GENERAL}
        return account, {**data, "options": options} if options else data


def parse_rates(rates: Sequence[str]) -> dict[str, int]:
    """`["ContextTokens=1"]` as a table: column -> credits per 1,000 units, whole and from 0. Raises Failure."""
    parsed: dict[str, int] = {}
    for rate in rates:
        column, equals, price = rate.rpartition("=")
        if not (equals and column and price.isascii() and price.isdigit()):
            raise Failure(f"--rate {rate}: it must be COLUMN=CREDITS with whole credits per 1,000, e.g. Tokens=4.")
        if column in parsed:
            raise Failure(f"--rate {rate}: the column has a rate already.")
        parsed[column] = int(price)
    return parsed


def read_rows(file: Path, form: Form) -> Iterator[UsageRow]:
    """The rows of a CSV file with a header, in UTF-8. Raises Failure naming the line, OSError."""
    identities = RowIdentities()
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(header)
            form.columns(header)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise ValueError(f"{len(cells)} cells where the header has {len(header)}")
                account, data = form.row(dict(zip(header, cells, strict=True)))
                yield UsageRow(identities.next(cells), account, data)
        except UnicodeDecodeError as error:
            raise Failure(f"{file} is not UTF-8 text: {error.reason} near line {reader.line_num + 1}.") from error
        except (ValueError, csv.Error) as error:
            raise Failure(f"{file}, line {max(reader.line_num, 1)}: {error}.") from error


def _check_header(header: Sequence[str]) -> None:
    if not header:
        raise ValueError("the file is empty; the first line must name the columns")
    if len(set(header)) != len(header):
        raise ValueError("two columns have the same name")


def _whole(name: str, cell: str) -> int:
    text = cell.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{name} is {cell!r}, which is no whole number from 0")
    return int(text)


def _within(amount: int) -> int:
    if amount > MAX_AMOUNT:
        raise ValueError(f"the row costs {amount} credits, more than the {MAX_AMOUNT} that one charge may have")
    return amount


def _option(cell: str) -> int | str:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) <= 18 else cell
