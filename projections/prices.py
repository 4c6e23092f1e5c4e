"""Read model: every version of the platform's price book."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from domain.prices.events import PriceEntry, PricesPublished
from projections.facts import Fact
from projections.table import Table

PLATFORM = "platform"  # the organisation whose price book counts


@dataclass(slots=True)
class Prices:
    """One version's row (prices.sql)."""

    version: int
    effective_at: datetime
    entries: list[dict[str, Any]]
    published_at: datetime
    position: int


TABLE = Table(
    "prices",
    Prices,
    {
        "version": "int4",
        "effective_at": "timestamptz",
        "entries": "jsonb",
        "published_at": "timestamptz",
        "position": "int8",
    },
    key=1,
)


def published(fact: Fact, event: PricesPublished) -> Prices:
    """The row of a new version."""
    entries = [_plain(entry) for entry in event.entries]
    return Prices(event.version, event.effective_at, entries, fact.time, fact.position)


def _plain(entry: PriceEntry) -> dict[str, Any]:
    """What the entry says; `free` only where it is, for entries stored before it existed say nothing of it."""
    return {name: value for name, value in asdict(entry).items() if value not in (None, {}, ()) and value is not False}
