"""Where a user's budget stands at this moment, and whether an expected cost still fits (S2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.budgets.record_cost import MAX_COST
from domain.budgets.refusals import InvalidCost
from domain.budgets.state import USD, Budget
from domain.periods import Every, Period
from domain.quotas.quota import running
from domain.resources.budget import BUDGET


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetNow:
    """Ask for a user's budget; who never set one has the default."""

    user: str


class BudgetUse(NamedTuple):
    """In micro-USD, of the month `period`: what is spent, held for generations that run, and still to be spent."""

    monthly: int
    ceiling: int | None
    used: int
    held: int
    remaining: int
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBudget:
    """Ask whether `expected` micro-USD (0 to 10^12) may still be spent this month."""

    user: str
    expected: int


class BudgetCheck(NamedTuple):
    """`reason` is `ok` or `budget_exceeded`; `remaining` in micro-USD."""

    allowed: bool
    reason: str
    remaining: int


def budget_use(budget: Budget, zone: str, now: datetime) -> BudgetUse:
    """The answer to `BudgetNow`; a month in which nothing was used yet is shown as it would begin."""
    return BudgetUse(
        monthly=budget.monthly,
        ceiling=budget.ceiling,
        used=budget.quota.used.get(USD, 0),
        held=budget.quota.held.get(USD, 0),
        remaining=budget.remaining,
        period=running(budget.quota, Every.MONTH, zone, now),
    )


def check_budget(budget: Budget, question: CheckBudget) -> BudgetCheck:
    """Exactly enough passes. Raises InvalidCost."""
    if not 0 <= question.expected <= MAX_COST:
        raise InvalidCost(field="expected_cost", limit=MAX_COST)
    allowed = question.expected <= budget.remaining
    return BudgetCheck(allowed, "ok" if allowed else BUDGET.reason, budget.remaining)
