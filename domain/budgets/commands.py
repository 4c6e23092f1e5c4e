"""The commands and questions on budgets, each with its decision (S2). The tables at the end say what each sees."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from domain.budgets.events import EVENTS, BudgetSet, CostRecorded
from domain.budgets.refusals import AboveCeiling, CeilingNotYours, CostExists, CostIdReused, InvalidBudget, InvalidCost
from domain.budgets.state import MAX_BUDGET, MIN_BUDGET, PREFIX, USD, Budget, budget_of, cost_tag, evolve, stream_of
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.periods import Every, Period
from domain.quotas import quota as quotas
from domain.quotas.quota import begin, fits, running
from domain.resources.budget import BUDGET


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


MAX_COST = 10**12  # micro-USD, a million USD; of milliseconds a good 30 years


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCost:
    """One attempt: `usd` micro-USD (0 to 10^12) count if it was a success; `cost_id` is unique in the organisation.

    `sealed`: prompt, image URL and error message, encrypted.
    """

    user: str
    cost_id: str
    usd: int
    success: bool
    size: str | None = None
    quality: str | None = None
    generation_time_ms: int | None = None
    sealed: str | None = None


def record_cost(work: Work, command: RecordCost) -> None:
    """What was spent is spent, so it is recorded above the budget too; the first record begins the month.

    Texts are not compared with what was recorded under the id before: they are encrypted.
    Raises InvalidCost, CostExists, CostIdReused, TotalTooLarge.
    """
    for field, amount in (("cost", command.usd), ("generation_time_ms", command.generation_time_ms)):
        if amount is not None and not 0 <= amount <= MAX_COST:
            raise InvalidCost(field=field, limit=MAX_COST)
    recorded = CostRecorded(
        cost_id=command.cost_id,
        usd=command.usd,
        success=command.success,
        size=command.size,
        quality=command.quality,
        generation_time_ms=command.generation_time_ms,
        sealed=command.sealed,
    )
    stream, quota = stream_of(command.user), budget_of(work, command.user).quota
    for home, known in work.events(cost_tag(command.cost_id)):
        if home != stream or replace(known, sealed=None) != replace(recorded, sealed=None):
            raise CostIdReused(cost_id=command.cost_id)
        raise CostExists(cost_id=command.cost_id)
    if command.success:
        fits(quota, {USD: command.usd})
    begin(work, stream, quota, Every.MONTH, organisation_of(work).time_zone)
    work.emit(stream, recorded)


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


def _budget(command: Any) -> tuple[str, ...]:
    return (stream_of(command.user),)


def _budget_and_zone(command: Any) -> tuple[str, ...]:
    """The months are those of the organisation's time zone."""
    return (stream_of(command.user), ORGANISATION)


def _budget_now(work: Work, question: BudgetNow) -> BudgetUse:
    return budget_use(budget_of(work, question.user), organisation_of(work).time_zone, work.now)


MODULE = Module(
    deciders={
        SetBudget: Decider(_budget, set_budget),
        RecordCost: Decider(_budget_and_zone, record_cost, tags=lambda command: (cost_tag(command.cost_id),)),
    },
    answerers={
        BudgetNow: Answerer(_budget_and_zone, _budget_now),
        CheckBudget: Answerer(_budget, lambda work, question: check_budget(budget_of(work, question.user), question)),
    },
    kinds={
        PREFIX: quotas.kind(Budget(), evolve),
    },
    events=EVENTS,
)
