"""What one price book changes against another, entry by entry."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from domain.prices.events import PriceEntry

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
