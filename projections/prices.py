"""Read model: every version of the platform's price book."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from domain.prices.events import PriceEntry, PricesPublished
from projections.facts import Fact
from projections.read_model import Int4, Keep, ReadModel, State

PLATFORM = "platform"  # the organisation whose price book counts


@dataclass(slots=True)
class Prices:
    """Every version of the price book. `entries` is a list of objects, fields without a value left out."""

    version: Int4
    effective_at: datetime
    entries: list[dict[str, Any]]
    published_at: datetime
    position: int


def published(fact: Fact, event: PricesPublished) -> Prices:
    """The row of a new version."""
    entries = [_plain(entry) for entry in event.entries]
    return Prices(event.version, event.effective_at, entries, fact.time, fact.position)


def _plain(entry: PriceEntry) -> dict[str, Any]:
    """What the entry says; `free` only where it is, for entries stored before it existed say nothing of it."""
    return {name: value for name, value in asdict(entry).items() if value not in (None, {}, ()) and value is not False}


def fold(state: State, fact: Fact) -> None:
    """Only the platform's price book counts."""
    if fact.org == PLATFORM:
        state.log(PRICES).append(published(fact, fact.event))


PRICES = ReadModel(
    name="prices", row=Prices, key=("version",), events={"prices": (PricesPublished,)}, fold=fold, keep=Keep.LOG
)
