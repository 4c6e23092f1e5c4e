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
class UnsizedHold(Unpriced):
    """It is priced by use, and nothing says how much use to hold: a hold of nothing would be free."""

    def __str__(self) -> str:
        units = ", ".join(self.priced)
        return (
            f"{self.asked} is priced by the use of {units}, and nothing says how much to hold. Give an estimate of "
            "these units above 0, or publish the price with expected_usage."
        )


@dataclass(unsafe_hash=True)
class InvalidPrices(Refusal):
    """A price book that cannot be published."""

    code: ClassVar[str] = "invalid_prices"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}."
