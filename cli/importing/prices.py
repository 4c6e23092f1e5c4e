"""The price book as an import needs it: which columns are options and units, and what a row costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from cli.failure import Failure
from domain.prices.book import PriceBook
from domain.prices.events import PriceEntry, PricesPublished
from domain.prices.quote import NOT_MATCHED, Ask, applicable, credits_for_usage, credits_of
from domain.prices.refusals import Unpriced, UnpricedScale

# Columns that are usage also where no entry has a rate for them: a rate that is missing must be seen.
USAGE = frozenset(
    {
        *(
            "input",
            "output",
            "cached_input",
            "cache_write",
            "cache_write_1h",
            "reasoning",
            "input_audio",
            "output_audio",
        ),
        *("input_tokens", "output_tokens", "cached_tokens", "prompt_tokens", "completion_tokens", "total_tokens"),
        *("image", "images", "second", "seconds", "character", "characters", "request", "requests", "tokens"),
    }
)
_AT = datetime(2000, 1, 1, tzinfo=UTC)


class Prices:
    """The entries in force when the import began. The ledger prices each row again, by what is in force then."""

    def __init__(self, entries: Iterable[PriceEntry] = ()) -> None:
        self._version = PricesPublished(version=1, effective_at=_AT, entries=tuple(entries))
        self._narrowed: dict[tuple[object, ...], PriceBook | None] = {}
        self.units = frozenset(unit for entry in self._version.entries for unit in entry.rates)
        self.options = NOT_MATCHED | {
            name for entry in self._version.entries for name in (*entry.options, *entry.at_most)
        }

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Prices:
        """Those of `GET /api/v1/prices`. Raises Failure for an answer that cannot be read."""
        try:
            return cls(_entry(entry) for entry in answer["entries"])
        except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
            raise Failure(f"The service's price book cannot be read: {error}") from error

    def is_usage(self, column: str) -> bool:
        """Whether a column of this name says how much was used."""
        return column in self.units or column in USAGE or column.endswith("_tokens")

    def entry(self, ask: Ask) -> PriceEntry | None:
        """The entry that prices it; none where nothing does."""
        book = self._book(ask)
        return book.versions[0].entries[0] if book else None

    def cost(self, ask: Ask, usage: dict[str, int]) -> int | None:
        """Credits, by the rates where there is usage, else the entry's own price; none where that is no price.

        Raises UnpricedScale for a count or complexity that the entry does not have.
        """
        book = self._book(ask)
        if book is None:
            return None
        try:
            return (credits_for_usage(book, ask, usage, _AT) if usage else credits_of(book, ask, _AT)).amount
        except UnpricedScale:
            raise
        except Unpriced:
            return None

    def _book(self, ask: Ask) -> PriceBook | None:
        """A book of the one entry that applies: to look through all of them for each row would be slow."""
        key = (ask.provider, ask.model, ask.operation, *sorted(ask.options.items()))
        if key not in self._narrowed:
            found = applicable(PriceBook((self._version,)), ask, _AT)
            self._narrowed[key] = PriceBook((replace(self._version, entries=(found,)),)) if found else None
        return self._narrowed[key]


def _entry(told: Mapping[str, Any]) -> PriceEntry:
    """An entry as the service shows it. It is in force, so today's rules for publishing one do not apply to it."""
    bulk = [(step["count"], step["percent_off"]) for step in told.get("bulk", ())]
    return msgspec.convert({**told, "bulk": bulk}, PriceEntry)
