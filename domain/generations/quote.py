"""What a request would take, by unit."""

from dataclasses import dataclass, field

from domain.generations.events import Quoted
from domain.prices.quote import Quote
from domain.quotas.events import Amounts


@dataclass(slots=True)
class QuotedAmounts:
    """What `count` pieces would take: credits, tokens, micro-USD (`usd`), bytes, and what else is limited.

    Each resource adds its own amounts. `price`: None where no entry of the price book applied. `provider` and `model`
    are spelled as in the price book. `token_type`: that of the plan's tokens.
    """

    count: int
    price: Quote | None
    provider: str | None
    model: str | None
    amounts: Amounts = field(default_factory=dict)
    token_type: str | None = None

    @property
    def plan_tokens(self) -> int:
        """The plan's tokens that it would take."""
        return self.amounts.get(f"tokens.{self.token_type}", 0) if self.token_type else 0

    def stored(self) -> Quoted:
        """The same as events have it."""
        amounts, price = self.amounts, self.price
        return Quoted(
            amounts.get("credits", 0),
            amounts.get("tokens", 0),
            amounts.get("usd", 0),
            amounts.get("bytes", 0),
            self.token_type,
            self.plan_tokens,
            price.item if price else None,
            price.price_version if price else None,
        )
