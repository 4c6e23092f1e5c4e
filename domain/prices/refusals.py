"""Ways in which a price is refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class Unpriced(Refusal):
    """There is no price for what was asked; the answer lists what is priced."""

    code: ClassVar[str] = "unpriced"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    asked: str
    priced: tuple[str, ...]

    def __str__(self) -> str:
        return f"There is no price for {self.asked}. Priced are: {', '.join(self.priced) or 'nothing yet'}."


@dataclass(unsafe_hash=True)
class UnpricedScale(Unpriced):
    """The thing has a price, but not by this count or complexity."""


@dataclass(unsafe_hash=True)
class InvalidPrices(Refusal):
    """A price book that cannot be published."""

    code: ClassVar[str] = "invalid_prices"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}."
