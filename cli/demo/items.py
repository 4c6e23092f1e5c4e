"""What simulated users ask for: priced by the book in credits or money, or estimated in tokens, or of the plan."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from domain.generations.request import MB
from domain.plans.catalogue import FEATURES
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import OptionValue, PriceEntry
from domain.resources.storage import IMAGE_BYTES, VIDEO_BYTES

SONG_BYTES = 4 * MB
SIZES = {"image": IMAGE_BYTES, "video": VIDEO_BYTES, "music": SONG_BYTES}  # the most that one of them stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to be asked for. `usd` is what it costs at first, in micro-USD, so that a plan keeps within budgets."""

    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    feature: str | None = None
    token_type: str | None = None
    usd: int = 0

    @property
    def asked(self) -> dict[str, Any]:
        """The part of a request that names it."""
        named = ("operation", "provider", "model", "feature", "token_type")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return given | ({"options": self.options} if self.options else {})

    @property
    def key(self) -> str:
        """The same for the same thing."""
        return str(sorted(self.asked.items()))

    @property
    def most_bytes(self) -> int:
        """What it stores at most; 0 for what stores nothing."""
        return SIZES.get(self.operation, 0)


def _of(entry: PriceEntry) -> Item:
    """What an entry of the price book is for; a song is as long as its price allows."""
    return Item(
        operation=entry.operation or "",
        provider=entry.provider,
        model=entry.model,
        options={**entry.options, **entry.at_most},
        usd=entry.usd_micros or 0,
    )


CHAT = Item(operation="chat")
IN_CREDITS = tuple(_of(entry) for entry in CATALOGUE if entry.credits)
IN_MONEY = tuple(_of(entry) for entry in CATALOGUE if entry.usd_micros)
OF_THE_PLAN = (
    *(Item(operation=feature.name, feature=feature.name) for feature in FEATURES if feature.name != "general"),
    Item(operation="general", token_type="general"),  # noqa: S106 - a kind of token, no password
)
ITEMS = (*IN_CREDITS, *IN_MONEY, CHAT, *OF_THE_PLAN)

_KINDS = (IN_CREDITS, IN_MONEY, (CHAT,), OF_THE_PLAN)
_SHARES = (56, 18, 14, 12)  # percent of the traffic


def draw(chance: random.Random) -> Item:
    """Something to ask for."""
    (kind,) = chance.choices(_KINDS, weights=_SHARES)
    return chance.choice(kind)
