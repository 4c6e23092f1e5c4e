"""How the cells of a row become usage: by rates per column, or in the general form that the price book prices."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from cli.failure import Failure
from cli.importing.prices import Prices
from consumers.usage import Metered
from domain.credits.address import parse_address
from domain.prices.quote import Ask, metered
from domain.prices.refusals import UnpricedScale

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


def source_of(org: str, account: str) -> str:
    """The CloudEvents source of the rows charged to an account."""
    return f"scrip-import:{org}:{account}"


class RowIdentities:
    """Gives each row of one file its id: SHA-256 of its cells and of how many equal rows came before it.

    Two equal rows of a file are two uses; the same file imported again has the same ids. Cells count as they are
    read, so quoting and line ends make no difference. One digest of 16 bytes is kept for each different row.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def next(self, cells: Sequence[str]) -> str:
        """The id of the file's next row, 64 hexadecimal digits."""
        row = sha256(json.dumps(list(cells), ensure_ascii=False, separators=(",", ":")).encode())
        short = row.digest()[:16]
        occurrence = self._seen.get(short, 0) + 1
        self._seen[short] = occurrence
        row.update(b"#%d" % occurrence)
        return row.hexdigest()


MAX_AMOUNT = 10**12
# The general form's own columns; every other one must be an option or a unit of the price book, or be named.
GENERAL = ("time", "user", "account", "operation", "provider", "model", "amount")
PAYS = "letters A to Z, digits and . _ : @ | + = ~ -, 1 to 255 of them"
_ADDRESS = re.compile(r"[A-Za-z0-9._:@|+=~-]{5,767}")
_COLUMN = re.compile(r"\{([^{}]*)\}")


class Charge(NamedTuple):
    """What a row charges. `data` is that of a `scrip.usage.metered` event, or None for a row that costs nothing.

    `credits` none: the price book has no price for it. `what` is the model or operation, for people.
    """

    account: str
    data: dict[str, Any] | None
    credits: int | None
    what: str


class Form(Protocol):
    """How the cells of a file become usage."""

    def columns(self, header: Sequence[str]) -> None:
        """Check the header and remember what each column is. Raises ValueError."""

    def row(self, cells: Mapping[str, str], separator: str) -> Charge:
        """What a row charges. Raises Faulty."""


class Payer:
    """An account's address, in which `{COLUMN}` is replaced by the cell of that column."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.named = tuple(_COLUMN.findall(address))
        self.example = _COLUMN.sub("x", address)

    def columns(self, header: Sequence[str]) -> None:
        """Raises ValueError for a column that does not exist."""
        for name in self.named:
            if name not in header:
                raise ValueError(f"--account names the column {name!r}; the columns are {', '.join(header)}")

    def account(self, cells: Mapping[str, str]) -> str:
        """The address for a row. Raises Faulty for an empty cell."""
        for name in self.named:
            if not cells[name].strip():
                raise Faulty((name, "", f"{PAYS}, because it says who pays"))
        return _COLUMN.sub(lambda found: cells[found[1]].strip(), self.address)


@dataclass(slots=True)
class ByRates:
    """Each row costs the sum of column x credits per 1,000, rounded up once per row."""

    account: str
    rates: dict[str, int]

    def columns(self, header: Sequence[str]) -> None:
        """Every rate needs its column."""
        for name in self.rates:
            if name not in header:
                near = get_close_matches(name, header, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"there is no column {name}; the columns are {', '.join(header)}{hint}")
        Payer(self.account).columns(header)

    def row(self, cells: Mapping[str, str], separator: str) -> Charge:
        """Units must be whole numbers from 0; an empty cell is 0, but not in all of them."""
        usage = numbers({name: cells[name] for name in self.rates}, separator)
        if not any(cells[name].strip() for name in self.rates):
            raise Faulty((next(iter(self.rates)), "", f"{WHOLE}, in at least one of the columns that have a rate"))
        payer = Payer(self.account)
        account = payer.account(cells)
        amount = _within(metered(self.rates, usage))
        _check({"address": account, "amount": amount or 1}, {"address": payer.named or ("",)}, cells)
        what = cells.get("model", "").strip()
        return Charge(account, {"address": account, "amount": amount} if amount else None, amount, what)


@dataclass(slots=True)
class ByPriceBook:
    """Columns user (or account), operation, provider, model, amount; units of the price book are usage, options are
    options. `usage` and `options` name further columns with what they are, `ignored` those that say nothing.
    """

    account: str | None
    prices: Prices = field(default_factory=Prices)
    usage: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    _units: dict[str, str] = field(default_factory=dict, init=False)
    _options: dict[str, str] = field(default_factory=dict, init=False)

    def columns(self, header: Sequence[str]) -> None:
        """It must be said who pays and what is priced, and no column may be left without a meaning."""
        payer = Payer(self.account) if self.account is not None else None
        if payer is None and not {"user", "account"} & set(header):
            raise ValueError("a column `user` or `account`, or --account, must say who pays")
        if not {"operation", "model", "amount"} & set(header):
            raise ValueError("without --rate a column `model`, `operation` or `amount` must say what is charged")
        for name in (*self.usage, *self.options, *self.ignored):
            if name not in header:
                raise ValueError(f"there is no column {name!r}; the columns are {', '.join(header)}")
        if payer is not None:
            payer.columns(header)
        known = {*GENERAL, *self.ignored, *(payer.named if payer else ())}
        free = [name for name in header if name not in known and name not in self.usage and name not in self.options]
        self._check_meaning(free)
        self._units = self.usage | {name: name for name in free if self.prices.is_usage(name)}
        self._options = self.options | {name: name for name in free if not self.prices.is_usage(name)}

    def _check_meaning(self, names: Sequence[str]) -> None:
        prices = self.prices
        for name in names:
            if name in prices.options and name in prices.units:
                raise ValueError(
                    f"the column {name} may be an option or a unit of the price book: say --option {name} or --usage"
                    f" {name}"
                )
        unknown = [name for name in names if not prices.is_usage(name) and name not in prices.options]
        if unknown:
            near = get_close_matches(unknown[0], [*GENERAL, *prices.options, *prices.units], 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"it is not known what the columns {', '.join(map(repr, unknown))} are: known are {', '.join(GENERAL)};"
                f" options of the price book {', '.join(sorted(prices.options))}; units of the price book"
                f" {', '.join(sorted(prices.units)) or 'none'}{hint} For each say --usage COLUMN=UNIT,"
                " --option COLUMN=NAME or --ignore COLUMN"
            )

    def row(self, cells: Mapping[str, str], separator: str) -> Charge:
        """Empty cells are left out. A row with an amount costs that amount, whatever else it says."""
        given = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
        account, paying = self._account(cells, given)
        data: dict[str, Any] = {"address": account}
        named = {"address": paying, "amount": ("amount",)}
        what = given.get("model") or given.get("operation") or ""
        if "amount" in given:
            amount = _within(numbers({"amount": given["amount"]}, separator)["amount"])
            _check({**data, "amount": amount or 1}, named, cells)
            return Charge(account, {**data, "amount": amount} if amount else None, amount, what)
        data |= {name: given[name] for name in ("operation", "provider", "model") if name in given}
        if not {"operation", "model"} & data.keys():
            raise Faulty(("model", "", "a model, or else an operation or an amount"))
        options = {unit: _option(given[name]) for name, unit in self._options.items() if name in given}
        if options:
            data["options"] = options
        used = numbers({name: given[name] for name in self._units if name in given}, separator)
        by_column = {unit: (name,) for name, unit in (*self._units.items(), *self._options.items())}
        return self._priced(account, data, used, what, named | by_column, cells)

    def _account(self, cells: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """The account, and the columns that it is from."""
        if self.account is not None:
            payer = Payer(self.account)
            return payer.account(cells), payer.named
        if "account" in given:
            return given["account"], ("account",)
        if "user" in given:
            return f"user:{given['user']}:credits", ("user",)
        raise Faulty(("user" if "user" in cells else "account", "", f"{PAYS}, because it says who pays"))

    def _priced(
        self,
        account: str,
        data: dict[str, Any],
        used: dict[str, int],
        what: str,
        named: Mapping[str, tuple[str, ...]],
        cells: Mapping[str, str],
    ) -> Charge:
        ask = Ask(
            provider=data.get("provider"),
            model=data.get("model"),
            operation=data.get("operation"),
            options=data.get("options", {}),
        )
        entry = self.prices.entry(ask)
        usage: dict[str, int] = {}
        for column, amount in used.items():
            unit = self._units[column]
            if entry is None or unit in entry.rates:
                usage[unit] = usage.get(unit, 0) + amount
            elif amount:
                rates = ", ".join(sorted(entry.rates))
                has = f"its rates are for {rates}" if rates else "it has a flat price"
                raise Faulty((column, cells[column], f"nothing: the price of {entry.label} has no rate for it; {has}"))
        if usage:
            data = {**data, "usage": usage}
        _check(data, named, cells)
        if entry is not None and usage and not metered(entry.rates, usage):
            return Charge(account, None, 0, what)
        try:
            credits_ = self.prices.cost(ask, usage)
        except UnpricedScale as error:
            raise Faulty(("", "", str(error).rstrip("."))) from error
        return Charge(account, data if credits_ != 0 else None, credits_, what)


def check_account(address: str, org: str) -> None:
    """Check `--account`, in which columns may be named. Raises Failure."""
    payer = Payer(address)
    try:
        parse_address(payer.example)
    except ValueError as error:
        raise Failure(f"--account {address}: {error}.") from error
    if payer.named:
        return
    if not _ADDRESS.fullmatch(address):
        raise Failure(f"--account {address}: allowed are {PAYS}.")
    if len(source_of(org, address)) > 255:
        raise Failure(f"--account {address}: it is too long together with the organisation's name.")


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


def parse_named(option: str, given: Sequence[str]) -> dict[str, str]:
    """`["Prompt tokens=input_tokens", "steps"]` as a table: column -> name in the price book. Raises Failure."""
    parsed: dict[str, str] = {}
    for each in given:
        column, equals, name = each.rpartition("=")
        column, name = (column, name) if equals else (each, each)
        if not (column and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name)):
            raise Failure(f"{option} {each}: it must be COLUMN or COLUMN=NAME, the name of letters, digits and _ . -")
        if column in parsed:
            raise Failure(f"{option} {each}: the column is named already.")
        parsed[column] = name
    return parsed


def _within(amount: int) -> int:
    if amount > MAX_AMOUNT:
        raise Faulty(("", "", f"the row costs {amount} credits, more than the {MAX_AMOUNT} that one charge may have"))
    return amount


def _check(data: dict[str, Any], named: Mapping[str, tuple[str, ...]], cells: Mapping[str, str]) -> None:
    """Check as the intake will: what it would refuse is a fault of the file. Raises Faulty."""
    try:
        Metered.model_validate(data)
    except ValidationError as error:
        faults = []
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            where = [str(part) for part in each["loc"]]
            last, said = where[-1] if where else "", each["msg"].removeprefix("Value error, ")
            if last == "options" and " must be " in said:  # said of all options together: it begins with the one
                last, _, said = said.partition(" must be ")
            columns = named.get(last) or ((last,) if last in cells else ("",))
            allowed = PAYS if last == "address" else said.lower()
            value = ", ".join(cells.get(column, "") for column in columns)
            faults.append((", ".join(columns), value or str(data.get(last, "")), allowed))
        raise Faulty(*faults) from error


def _option(cell: str) -> int | str:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) <= 18 else cell
