"""What decisions need to know of a user's budget."""

from typing import NamedTuple

from domain.budgets.events import BudgetEvent, BudgetSet, CostRecorded
from domain.kernel.work import Work
from domain.quotas.quota import Quota, plus
from domain.quotas.quota import evolve as evolve_quota

PREFIX = "budget/"
USD = "usd"  # in micro-USD
DEFAULT_BUDGET = 10_000_000  # S2: 10 USD, between 1 and 1000
MIN_BUDGET = 1_000_000
MAX_BUDGET = 1_000_000_000


class Budget(NamedTuple):
    """The monthly budget in micro-USD with the use of the current month. Who never set one has the default."""

    monthly: int = DEFAULT_BUDGET
    ceiling: int | None = None
    quota: Quota = Quota()

    @property
    def remaining(self) -> int:
        """What may still be spent this month; 0 where more was spent."""
        return max(0, self.monthly - self.quota.taken(USD))


def stream_of(user: str) -> str:
    """The stream of a user's budget."""
    return PREFIX + user


def cost_tag(cost_id: str) -> str:
    """The tag of a recorded cost; its id is unique in the organisation."""
    return f"cost/{cost_id}"


def evolve(budget: Budget, event: BudgetEvent) -> Budget:
    """Apply one event."""
    match event:
        case BudgetSet():
            return budget._replace(monthly=event.monthly, ceiling=event.ceiling)
        case CostRecorded():
            if not event.success:
                return budget
            return budget._replace(quota=budget.quota._replace(used=plus(budget.quota.used, {USD: event.usd})))
        case _:
            return budget._replace(quota=evolve_quota(budget.quota, event))


def budget_of(work: Work, user: str) -> Budget:
    """A user's budget, as a decision sees it."""
    budget: Budget = work.state(stream_of(user))
    return budget
