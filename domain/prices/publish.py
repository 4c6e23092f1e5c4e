"""Publish a new version of the price book, and compare two versions entry by entry."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.kernel.domain import Decider, Module, timeless
from domain.kernel.work import Work
from domain.prices import book as price_book
from domain.prices.book import STREAM, PriceBook
from domain.prices.events import EVENTS, PriceEntry, PricesPublished
from domain.prices.quote import MAX_CREDITS, metered
from domain.prices.refusals import InvalidPrices
from domain.refusal import StaleVersion

Priced = tuple[object, ...]


class Change(StrEnum):
    """What becomes of an entry."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class EntryChange(NamedTuple):
    """An entry that is not the same in both books; `old` is none for one that was added, `new` for one removed."""

    change: Change
    old: PriceEntry | None
    new: PriceEntry | None


def priced_thing(entry: PriceEntry) -> Priced:
    """What an entry prices: no two entries of a book may price the same thing. Case makes no difference."""
    return (
        (entry.provider or "").casefold(),
        (entry.model or "").casefold(),
        (entry.operation or "").casefold(),
        tuple(sorted((name, str(value).casefold()) for name, value in entry.options.items())),
        tuple(sorted(entry.at_most)),
    )


def difference(old: Iterable[PriceEntry], new: Iterable[PriceEntry]) -> tuple[EntryChange, ...]:
    """The entries that differ: those of the new book in its order, then those that it leaves out."""
    before = {priced_thing(entry): entry for entry in old}
    found = []
    for entry in new:
        was = before.pop(priced_thing(entry), None)
        if was is None:
            found.append(EntryChange(Change.ADDED, None, entry))
        elif was != entry:
            found.append(EntryChange(Change.CHANGED, was, entry))
    return (*found, *(EntryChange(Change.REMOVED, entry, None) for entry in before.values()))


NOTICE = timedelta(seconds=5)  # every writer has seen a version before it takes effect (architecture, platform streams)
MAX_ENTRIES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPrices:
    """All entries of the new version; `effective_at` none for as soon as possible, `expected` the version read."""

    entries: tuple[PriceEntry, ...]
    effective_at: datetime | None = None
    expected: int | None = None
    first: bool = False  # the version that an installation starts with: nothing can have been priced before


def publish(work: Work, command: PublishPrices) -> None:
    """A new price takes effect at least 5 s after it is published. Raises StaleVersion, InvalidPrices."""
    book: PriceBook = work.state(STREAM)
    if command.first and book.versions:
        return
    if command.expected is not None and command.expected != book.latest:
        raise StaleVersion(what="price book", current=book.latest)
    _check(command.entries)
    earliest = work.now if command.first else work.now + NOTICE
    effective_at = command.effective_at or earliest
    if effective_at < earliest:
        raise InvalidPrices(field="effective_at", reason="must be at least 5 seconds ahead")
    published = PricesPublished(version=book.latest + 1, effective_at=effective_at, entries=command.entries)
    work.emit(STREAM, published)


def _check(entries: tuple[PriceEntry, ...]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise InvalidPrices(field="entries", reason=f"at most {MAX_ENTRIES} are allowed")
    seen: dict[Priced, int] = {}
    for index, entry in enumerate(entries):
        where = f"entries[{index}]"
        if (
            entry.credits is None
            and entry.tokens is None
            and entry.usd_micros is None
            and not (entry.rates or entry.free)
        ):
            raise InvalidPrices(field=where, reason="must name credits, tokens, usd or rates")
        if not (entry.model or entry.operation):
            raise InvalidPrices(field=where, reason="must name a model or an operation")
        if not _in_range(entry):
            raise InvalidPrices(field=where, reason="prices are 0 to 10^12, percentages off 0 to 100, counts from 1")
        _check_promise(where, entry)
        key = priced_thing(entry)
        if key in seen:
            raise InvalidPrices(field=where, reason=f"prices the same thing as entries[{seen[key]}]")
        seen[key] = index


def _check_promise(where: str, entry: PriceEntry) -> None:
    """What a price promises: it charges something unless it is free on purpose, and a hold can be sized for it."""
    charged = any((entry.credits, entry.tokens, entry.usd_micros, *entry.rates.values()))
    if entry.free and charged:
        raise InvalidPrices(field=f"{where}.free", reason="is true, but the entry names a price above 0")
    if not charged and not entry.free:
        raise InvalidPrices(
            field=where, reason="charges nothing; name a price above 0, or say free: true where that is meant"
        )
    if not all(entry.complexity.values()):
        raise InvalidPrices(field=f"{where}.complexity", reason="0 percent would be free")
    if any(off == 100 for _, off in entry.bulk):
        raise InvalidPrices(field=f"{where}.bulk", reason="100 percent off would be free")
    unknown = sorted(set(entry.expected_usage) - set(entry.rates))
    if unknown:
        raise InvalidPrices(field=f"{where}.expected_usage.{unknown[0]}", reason="has no rate to price it")
    expected = metered(entry.rates, entry.expected_usage)
    if any(entry.rates.values()) and not entry.credits and not expected:
        raise InvalidPrices(
            field=f"{where}.expected_usage",
            reason="is needed above 0 beside rates without credits; a hold is sized from it",
        )
    if expected > MAX_CREDITS:
        raise InvalidPrices(field=f"{where}.expected_usage", reason="costs more than 10^12 credits")


def _in_range(entry: PriceEntry) -> bool:
    prices = [price for price in (entry.credits, entry.tokens, entry.usd_micros) if price is not None]
    prices += [*entry.rates.values(), *entry.complexity.values(), *entry.expected_usage.values()]
    return all(0 <= price <= MAX_CREDITS for price in prices) and all(
        least >= 1 and 0 <= off <= 100 for least, off in entry.bulk
    )


MODULE = Module(
    deciders={
        PublishPrices: Decider(lambda _command: (price_book.STREAM,), publish),
    },
    kinds={
        price_book.STREAM: timeless(
            price_book.PriceBook(),
            price_book.evolve,
            lambda book: sum(len(version.entries) for version in book.versions),
        ),
    },
    events=EVENTS,
)
