"""Ways in which a price is refused."""

from domain.refusal import Refusal, RefusalKind


class Unpriced(Refusal, code="unpriced", kind=RefusalKind.INVALID):
    """There is no price for what was asked; the answer lists what is priced."""

    asked: str
    priced: tuple[str, ...]

    def __str__(self) -> str:
        return f"There is no price for {self.asked}. Priced are: {', '.join(self.priced) or 'nothing yet'}."


class UnpricedScale(Unpriced):
    """The thing has a price, but not by this count or complexity."""


class UnsizedHold(Unpriced):
    """It is priced by use, and nothing says how much use to hold: a hold of nothing would be free."""

    def __str__(self) -> str:
        units = ", ".join(self.priced)
        return (
            f"{self.asked} is priced by the use of {units}, and nothing says how much to hold. Give an estimate of "
            "these units above 0, or publish the price with expected_usage."
        )


class InvalidPrices(Refusal, code="invalid_prices", kind=RefusalKind.INVALID):
    """A price book that cannot be published."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}."
