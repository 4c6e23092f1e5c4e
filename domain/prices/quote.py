"""What something costs, by the price book."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from domain.prices.book import PriceBook
from domain.prices.events import OptionValue, PriceEntry, PricesPublished
from domain.prices.names import Named, named
from domain.prices.refusals import Unpriced, UnpricedScale, UnsizedHold

MAX_COUNT = 1_000_000
MAX_CREDITS = 10**12  # what one command may move (contract, "Units, answers, errors")
MAX_QUOTE = MAX_CREDITS * MAX_COUNT  # below 2^63: a refused generation keeps its quote too

NOT_MATCHED = frozenset({"count", "complexity"})  # options that scale a price rather than choose one


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is to be priced. `options` is an open map of scalars.

    `count` (1 to 1,000,000) and `complexity` scale the price. `estimate`: units that all of it may use, by name; they
    size the hold of what is priced by use. Where it `may_lower`, they replace what the entry expects, else they only
    raise it.
    """

    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    estimate: dict[str, int] | None = None
    may_lower: bool = False

    @property
    def label(self) -> str:
        """The question in words."""
        shown = [
            f"{value}s" if name == "duration" else str(value)
            for name, value in sorted(self.options.items(), reverse=True)
            if name not in NOT_MATCHED
        ]
        named = " ".join(part for part in (self.provider, self.model or self.operation) if part)
        return " ".join([named or "this", *shown])


class Quote(NamedTuple):
    """A price: credits, tokens and micro-USD (none where the entry has none), by entry and price version.

    Where use is charged, `credits` is what to hold for it.
    """

    credits: int | None
    tokens: int | None
    usd_micros: int | None
    item: str
    price_version: int
    named: Named


def quote(book: PriceBook, ask: Ask, now: datetime) -> Quote:
    """The price of `ask` at `now`; the most specific matching entry decides. Raises Unpriced, UnsizedHold."""
    return _quoted(*_found(book, ask, now), ask)


def quote_or_none(book: PriceBook, ask: Ask, now: datetime) -> Quote | None:
    """The same for what need not have a price: none where no entry matches.

    Raises UnpricedScale, UnsizedHold; Unpriced for an estimate that nothing prices.
    """
    found = _search(book.at(now), ask)
    if found is None and ask.estimate:
        raise Unpriced(asked=_by_units(ask.label, ask.estimate), priced=())
    return _quoted(*found, ask) if found else None


def applicable(book: PriceBook, ask: Ask, now: datetime) -> PriceEntry | None:
    """The entry that prices `ask` at `now`; none where no entry matches."""
    found = _search(book.at(now), ask)
    return found[1] if found else None


def _quoted(version: PricesPublished, entry: PriceEntry, ask: Ask) -> Quote:
    count = count_of(ask.options)
    percent = _percent(entry, ask, count)
    credits_ = _credits_to_hold(entry, ask, count, percent)
    tokens, usd_micros = _scaled(entry.tokens, count, percent), _scaled(entry.usd_micros, count, percent)
    if max(credits_ or 0, tokens or 0, usd_micros or 0) > MAX_QUOTE:
        raise Unpriced(asked=ask.label, priced=(f"up to {MAX_QUOTE} at a time",))
    names = named(version, entry, ask.operation, ask.provider, ask.model)
    return Quote(credits_, tokens, usd_micros, entry.label, version.version, names)


def _credits_to_hold(entry: PriceEntry, ask: Ask, count: int, percent: int) -> int | None:
    """The fixed price, or what the expected use costs where that is more: a hold is never smaller than the price."""
    fixed = _scaled(entry.credits, count, percent)
    unknown = ask.estimate.keys() - entry.rates.keys() if ask.estimate else ()
    if unknown and not entry.free:
        raise Unpriced(asked=_by_units(ask.label, unknown), priced=tuple(sorted(entry.rates)))
    if entry.free or not any(entry.rates.values()):
        return 0 if entry.free else fixed
    units = {unit: amount * count for unit, amount in entry.expected_usage.items()}
    for unit, amount in (ask.estimate or {}).items():
        units[unit] = amount if ask.may_lower else max(amount, units.get(unit, 0))
    amount = max(fixed or 0, metered(entry.rates, units))
    if not amount:
        raise UnsizedHold(asked=ask.label, priced=tuple(sorted(unit for unit, rate in entry.rates.items() if rate)))
    if amount > max(MAX_CREDITS, fixed or 0):
        raise Unpriced(asked=_by_units(ask.label, units), priced=(f"up to {MAX_CREDITS} credits at a time",))
    return amount


class CreditPrice(NamedTuple):
    """A price in credits (1 or more) with the entry and price version that say so."""

    amount: int
    item: str
    version: int
    named: Named


def credits_of(book: PriceBook, ask: Ask, now: datetime, *, hold: bool = False) -> CreditPrice:
    """The price in credits of something that costs credits. Raises Unpriced where it has no price in credits.

    `hold`: what to hold for it, sized from the expected use too. An estimate is never charged at once.
    """
    version, entry = _found(book, ask, now)
    count = count_of(ask.options)
    percent = _percent(entry, ask, count)
    amount = _credits_to_hold(entry, ask, count, percent) if hold else _scaled(entry.credits, count, percent)
    if not amount:
        raise Unpriced(asked=f"{ask.label} in credits", priced=_priced_credit_price(book, now))
    if amount > MAX_CREDITS:
        raise Unpriced(asked=f"{ask.label} in credits", priced=(f"up to {MAX_CREDITS} credits at a time",))
    return _credit_price(amount, version, entry, ask)


def credits_for_usage(
    book: PriceBook, ask: Ask, usage: dict[str, int], now: datetime, held_version: int | None = None
) -> CreditPrice:
    """The price in credits of measured use, by the rates of the entry for `ask`; `usage` is units by their name.

    `held_version`: by that version of the price book, whatever is in force now.
    Raises Unpriced for a unit without a rate, and where the cost is 0 or more than is allowed.
    """
    price = usage_cost(book, ask, usage, now, held_version)
    if not 1 <= price.amount <= MAX_CREDITS:
        asked = f"{_by_units(ask.label, usage)} in credits"
        raise Unpriced(asked=asked, priced=(f"1 to {MAX_CREDITS} credits at a time",))
    return price


def usage_cost(
    book: PriceBook, ask: Ask, usage: dict[str, int], now: datetime, held_version: int | None = None
) -> CreditPrice:
    """The same for use that may cost nothing: few units, units whose rate is 0, or an entry that is free.

    Raises Unpriced for a unit without a rate, and for more than 10^12 credits.
    """
    version, entry = _found(book, ask, now, held_version)
    if entry.free:
        return _credit_price(0, version, entry, ask)
    if not set(usage) <= set(entry.rates):
        raise Unpriced(asked=_by_units(ask.label, usage), priced=tuple(sorted(entry.rates)))
    amount = metered(entry.rates, usage)
    if amount > MAX_CREDITS:
        asked = f"{_by_units(ask.label, usage)} in credits"
        raise Unpriced(asked=asked, priced=(f"1 to {MAX_CREDITS} credits at a time",))
    return _credit_price(amount, version, entry, ask)


def priced_by_use(book: PriceBook, ask: Ask, now: datetime, held_version: int | None = None) -> bool:
    """Whether the entry for `ask` has rates, so that reported use says what it cost."""
    version = book.at(now) if held_version is None else book.version(held_version)
    found = _search(version, ask)
    return found is not None and bool(found[1].rates)


def _by_units(label: str, units: Iterable[str]) -> str:
    return f"{label} by {', '.join(sorted(units))}"


def metered(rates: dict[str, int], usage: dict[str, int]) -> int:
    """Credits for measured use: units times credits per 1,000 units, summed, then rounded up once.

    Raises KeyError for a unit without a rate.
    """
    return -(-sum(amount * rates[unit] for unit, amount in usage.items()) // 1000)


def _found(
    book: PriceBook, ask: Ask, now: datetime, held_version: int | None = None
) -> tuple[PricesPublished, PriceEntry]:
    """The version in force (or held) and its most specific entry that matches. Raises Unpriced."""
    version = book.at(now) if held_version is None else book.version(held_version)
    found = _search(version, ask)
    if found is None:
        raise Unpriced(asked=ask.label, priced=_priced(version.entries if version else (), ask))
    return found


def _credit_price(amount: int, version: PricesPublished, entry: PriceEntry, ask: Ask) -> CreditPrice:
    names = named(version, entry, ask.operation, ask.provider, ask.model)
    return CreditPrice(amount, entry.label, version.version, names)


def _search(version: PricesPublished | None, ask: Ask) -> tuple[PricesPublished, PriceEntry] | None:
    if version is None:
        return None
    matching = [entry for entry in _of_model(version, ask.model) if _matches(entry, ask)]
    if len(matching) <= 1:
        return (version, matching[0]) if matching else None
    return version, max(matching, key=_specificity)


# The entries of a version by model in lower case, with the version, by its identity: a version is never changed.
_INDEXES: dict[int, tuple[PricesPublished, dict[str | None, list[PriceEntry]]]] = {}
_MAX_INDEXES = 64


def _of_model(version: PricesPublished, model: str | None) -> Sequence[PriceEntry]:
    """The entries that may price a model.

    A named model is priced only by an entry that names it: a model without a price is refused, not free. Without the
    index a quote compares the names of each entry of the book.
    """
    known = _INDEXES.get(id(version))
    if known is None:
        index: dict[str | None, list[PriceEntry]] = {}
        for entry in version.entries:
            index.setdefault(entry.model and entry.model.casefold(), []).append(entry)
        if len(_INDEXES) >= _MAX_INDEXES:
            _INDEXES.clear()
        known = _INDEXES[id(version)] = version, index
    return known[1].get(model and model.casefold(), ())


def _matches(entry: PriceEntry, ask: Ask) -> bool:
    """Whether an entry of the model prices what is asked."""
    return (
        (entry.provider is None or ask.provider is None or _same(entry.provider, ask.provider))
        and (
            entry.operation is None
            or _same(entry.operation, ask.operation)
            or (ask.operation is None and entry.model is not None)
        )
        and (not entry.options or _has_options(ask, entry.options))
        and (not entry.at_most or all(_within(ask.options.get(name), limit) for name, limit in entry.at_most.items()))
    )


def _has_options(ask: Ask, options: Mapping[str, OptionValue]) -> bool:
    return all(name in ask.options and _plain(ask.options[name]) == _plain(value) for name, value in options.items())


def _specificity(entry: PriceEntry) -> tuple[int, int]:
    named = sum(part is not None for part in (entry.provider, entry.model, entry.operation))
    return len(entry.options) + len(entry.at_most), named


def _same(one: str | None, other: str | None) -> bool:
    return one == other or (one is not None and other is not None and one.casefold() == other.casefold())


def _plain(value: OptionValue) -> str:
    return str(value).casefold()


def _within(value: OptionValue | None, limit: int) -> bool:
    """An option that is not given is within every bound; one that is no number, or a negative one, is within none."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit)


def _priced_credit_price(book: PriceBook, now: datetime) -> tuple[str, ...]:
    version = book.at(now)
    return tuple(entry.label for entry in version.entries if entry.credits) if version else ()


def count_of(options: Mapping[str, OptionValue]) -> int:
    """How many are asked for. Raises UnpricedScale for what is no whole number from 1 to 1,000,000."""
    count = options.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_COUNT:
        raise UnpricedScale(asked=f"count {count}", priced=(f"whole numbers from 1 to {MAX_COUNT}",))
    return count


def check_numbers(options: Mapping[str, OptionValue]) -> None:
    """Raises ValueError for a `duration` or `count` that is no whole number from 1: text and `true` are no numbers."""
    for name in ("duration", "count"):
        value = options.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1")


def _percent(entry: PriceEntry, ask: Ask, count: int) -> int:
    """What the scaling options make of the price, in hundredths of a percent of it."""
    complexity = ask.options.get("complexity")
    percent = 100
    if complexity is not None and entry.complexity:
        if str(complexity) not in entry.complexity:
            raise UnpricedScale(asked=f"complexity {complexity}", priced=tuple(sorted(entry.complexity)))
        percent = entry.complexity[str(complexity)]
    off = max((off for least, off in entry.bulk if count >= least), default=0) if entry.bulk else 0
    return percent * (100 - off)


def _scaled(price: int | None, count: int, percent: int) -> int | None:
    """Rounded up, so that a discount never makes a part of a credit free."""
    return None if price is None else -(-price * count * percent // 10_000)


def _priced(entries: tuple[PriceEntry, ...], ask: Ask) -> tuple[str, ...]:
    """What is priced, nearest first: the same model's entries, else the same provider's, else all."""
    for same in (
        [entry for entry in entries if ask.model and _same(entry.model, ask.model)],
        [entry for entry in entries if ask.provider and _same(entry.provider, ask.provider)],
        list(entries),
    ):
        if same:
            return tuple(entry.label for entry in same)
    return ()
