"""The budget: what a user may spend in a month, in micro-USD (S2)."""

from collections.abc import Iterable

from domain.budgets import state as budgets
from domain.budgets.state import USD
from domain.generations.assessment import Assessment
from domain.generations.events import ResourceCheck
from domain.generations.request import Request
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas.events import Amounts
from domain.resources.quota import QuotaResource
from domain.resources.resource import Action
from domain.wording import usd_text


class Budget(QuotaResource):
    """Checked against the expected money. What was really spent is always recorded, also above the budget."""

    name = "budget"
    reason = "budget_exceeded"
    short = "it would exceed the monthly budget"
    about = "dollars of a user's month"
    figure = "usd"
    money = True
    kind = budgets.PREFIX
    ways_out = (Action("Raise Budget", "budget"),)

    def limit(self, _work: Work, state: budgets.Budget, _unit: str) -> int | None:
        return state.monthly

    def period(self, _state: budgets.Budget) -> Every:
        return Every.MONTH

    def first_streams(self, request: Request) -> tuple[str, ...]:
        return (budgets.stream_of(request.user),)

    def settling_streams(self, _work: Work, user: str, *, growing: bool) -> tuple[str, ...]:
        del growing
        return (budgets.stream_of(user),)

    def quote(self, assessment: Assessment) -> None:
        if assessment.price is not None and assessment.price.usd_micros:
            assessment.amounts[USD] = assessment.price.usd_micros

    def needs(self, assessment: Assessment) -> Iterable[tuple[str, Amounts]]:
        usd = assessment.amounts.get(USD)
        return ((budgets.stream_of(assessment.request.user), {USD: usd}),) if usd else ()

    def settle(self, settlement: Settlement) -> None:
        settlement.usd = self._spent(settlement)
        held = settlement.held(self.name)
        if held:
            self._count(settlement, held[0], {USD: settlement.usd} if settlement.usd else {})
        else:
            self._spend(settlement)

    def settle_late(self, settlement: Settlement) -> None:
        settlement.usd = self._spent(settlement)
        self._spend(settlement)

    def sentence(self, check: ResourceCheck) -> str:
        return (
            f"Monthly budget exceeded. This costs {usd_text(check.needed)}, but only {usd_text(check.available or 0)} "
            f"of {usd_text(check.limit or 0)} is left this month."
        )

    def eased_by_price(self, _check: ResourceCheck) -> bool:
        return True

    def _spent(self, settlement: Settlement) -> int:
        """What is reported, else the part of the expected money: what is held, or the quote where nothing is held."""
        asked, usd = settlement.asked, settlement.reported.usd
        if usd is not None:
            return usd
        for held in settlement.held(self.name):
            return settlement.share(held.amounts.get(USD, 0))
        return settlement.share(asked.quote.usd * settlement.left // asked.count)

    def _spend(self, settlement: Settlement) -> None:
        """Record money that nothing is held for."""
        if settlement.usd and organisation_of(settlement.work).enforces(self.name):
            self._count_now(settlement, budgets.stream_of(settlement.asked.user), {USD: settlement.usd})


BUDGET = Budget()
