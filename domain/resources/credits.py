"""Credits: what generations cost by the price book."""

from domain.credits.refusals import InsufficientCredits
from domain.generations.assessment import Assessment
from domain.generations.events import GenerationHeld
from domain.generations.settlement import Settlement
from domain.prices.book import book_of
from domain.prices.quote import Ask, priced_by_use, usage_cost
from domain.refusal import Refusal
from domain.resources.account import AccountResource
from domain.resources.resource import Action


class Credits(AccountResource):
    """The price, or the price of the use that a worker has measured."""

    name = unit = figure = "credits"
    reason = "insufficient_credits"
    short = "not enough credits"
    about = "what generations cost"
    buy = Action("Buy More Credits", "tokens")

    def too_few(self, required: int, available: int) -> Refusal:
        return InsufficientCredits(required, available)

    def quote(self, assessment: Assessment) -> None:
        if assessment.price is not None and assessment.price.credits:
            assessment.amounts[self.unit] = assessment.price.credits

    def reported(self, settlement: Settlement) -> int | None:
        """What is reported, or the price of the reported use. Raises Unpriced for a unit without a rate."""
        usage = settlement.reported.usage
        if settlement.reported.credits is not None or usage is None:
            return settlement.reported.credits
        return _price_of(usage, settlement)

    def cost_of_failure(self, settlement: Settlement) -> int:
        """The price of the reported use; what is held where no use is reported or the price is fixed.

        Raises Unpriced for a unit without a rate.
        """
        work, asked, usage = settlement.work, settlement.asked, settlement.reported.usage
        if usage and priced_by_use(book_of(work), _ask(asked), work.now, asked.quote.price_version):
            return _price_of(usage, settlement)
        return super().cost_of_failure(settlement)


CREDITS = Credits()


def _price_of(usage: dict[str, int], settlement: Settlement) -> int:
    if not any(usage.values()):
        return 0
    work, asked = settlement.work, settlement.asked
    return usage_cost(book_of(work), _ask(asked), usage, work.now, asked.quote.price_version).amount


def _ask(asked: GenerationHeld) -> Ask:
    return Ask(provider=asked.provider, model=asked.model, operation=asked.operation, options=asked.options)
