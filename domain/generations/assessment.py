"""The assessment of a request while it is made up: each resource adds what it would take, then what it says to it."""

from dataclasses import dataclass, field

from domain.generations.events import Held, Quoted, ResourceCheck
from domain.generations.request import Request
from domain.kernel.work import Work
from domain.organisations.state import Organisation
from domain.prices.quote import Quote
from domain.quotas.events import Amounts

OK = "ok"


@dataclass(slots=True)
class Assessment:
    """What `count` pieces would take, by unit, and whether they may run.

    `price`: None where no entry of the price book applied. `provider` and `model` are spelled as in the price book.
    `token_type`: that of the plan's tokens. `holds`: what would be held. `reason`: `ok`, or the refusal's.
    """

    work: Work
    organisation: Organisation
    request: Request
    count: int
    price: Quote | None
    provider: str | None
    model: str | None
    amounts: Amounts = field(default_factory=dict)
    token_type: str | None = None
    checks: list[ResourceCheck] = field(default_factory=list)
    holds: list[Held] = field(default_factory=list)
    reason: str = OK

    @property
    def ok(self) -> bool:
        """Whether it may run."""
        return self.reason == OK

    @property
    def plan_tokens(self) -> int:
        """The plan's tokens that it would take."""
        return self.amounts.get(f"tokens.{self.token_type}", 0) if self.token_type else 0

    def quoted(self) -> Quoted:
        """What it would take, as events have it."""
        price = self.price
        item, version = (price.item, price.price_version) if price else (None, None)
        return Quoted.of(self.amounts, self.token_type, item, version)
