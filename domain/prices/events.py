"""Facts about prices. They belong to the platform, not to one organisation."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.untagged import Untagged

OptionValue = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    """What one thing costs: in credits, in tokens and in micro-USD, each 0 to 10^12 or none where it does not apply.

    `options` must all be equal to those asked for, `at_most` are upper bounds of numeric ones (music up to 90 s).
    `rates` are credits per 1,000 units for settlement by usage, `complexity` percentages by name (150 is half as
    much again), `bulk` steps of (count from which it applies, percent off). `expected_usage` are units of one use, by
    name: what a hold is sized from where the request gives no estimate. `free`: it costs nothing on purpose.
    """

    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    at_most: dict[str, int] = field(default_factory=dict)
    credits: int | None = None
    tokens: int | None = None
    usd_micros: int | None = None
    rates: dict[str, int] = field(default_factory=dict)
    complexity: dict[str, int] = field(default_factory=dict)
    bulk: tuple[tuple[int, int], ...] = ()
    expected_usage: dict[str, int] = field(default_factory=dict)
    free: bool = False

    @property
    def label(self) -> str:
        """The entry in words, for example `MiniMax-Hailuo-02 1080P 6s`."""
        shown = [
            f"{value}s" if name == "duration" else str(value)
            for name, value in sorted(self.options.items(), reverse=True)
        ]
        limits = [f"up to {value}{'s' if name == 'duration' else ' ' + name}" for name, value in self.at_most.items()]
        return " ".join([self.model or self.operation or self.provider or "any", *shown, *limits])


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesPublished(Untagged):
    """A whole new version of the price book; it takes effect at `effective_at`."""

    version: int
    effective_at: datetime
    entries: tuple[PriceEntry, ...]


PricesEvent = PricesPublished

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "prices-published.v1": PricesPublished,
}
