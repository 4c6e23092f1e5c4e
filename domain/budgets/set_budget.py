"""Set a user's monthly budget, and the ceiling above which the user may not raise it (S2)."""

from dataclasses import dataclass

from domain.budgets.events import BudgetSet
from domain.budgets.refusals import AboveCeiling, CeilingNotYours, InvalidBudget
from domain.budgets.state import MAX_BUDGET, MIN_BUDGET, budget_of, stream_of
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBudget:
    """Both in micro-USD, 1 USD to 1000 USD; what is none stays as it is.

    `by_user`: the user sets it, rather than an administrator. A ceiling of 1000 USD is none.
    """

    user: str
    monthly: int | None = None
    ceiling: int | None = None
    by_user: bool


def set_budget(work: Work, command: SetBudget) -> None:
    """A new ceiling below the budget lowers the budget to it. What is used already stays as it is.

    Raises InvalidBudget, CeilingNotYours, AboveCeiling.
    """
    _in_bounds("monthly_budget", command.monthly)
    _in_bounds("ceiling", command.ceiling)
    budget, stream = budget_of(work, command.user), stream_of(command.user)
    monthly = budget.monthly if command.monthly is None else command.monthly
    if command.ceiling is not None:
        if command.by_user:
            raise CeilingNotYours
        work.emit(stream, BudgetSet(monthly=min(monthly, command.ceiling), ceiling=command.ceiling))
        return
    if budget.ceiling is not None and monthly > budget.ceiling:
        raise AboveCeiling(monthly=monthly, ceiling=budget.ceiling)
    work.emit(stream, BudgetSet(monthly=monthly, ceiling=budget.ceiling))


def _in_bounds(field: str, amount: int | None) -> None:
    if amount is not None and amount < MIN_BUDGET:
        raise InvalidBudget(field=field, limit=MIN_BUDGET, least=True)
    if amount is not None and amount > MAX_BUDGET:
        raise InvalidBudget(field=field, limit=MAX_BUDGET, least=False)
