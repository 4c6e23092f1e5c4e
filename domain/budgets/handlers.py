"""How commands and questions on budgets are handled: which streams and tags they see."""

from typing import Any

from domain.budgets.events import EVENTS
from domain.budgets.now import BudgetNow, BudgetUse, CheckBudget, budget_use, check_budget
from domain.budgets.record_cost import RecordCost, record_cost
from domain.budgets.set_budget import SetBudget, set_budget
from domain.budgets.state import PREFIX, Budget, budget_of, cost_tag, evolve, stream_of
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.quotas import quota as quotas


def _budget(command: Any) -> tuple[str, ...]:
    return (stream_of(command.user),)


def _budget_and_zone(command: Any) -> tuple[str, ...]:
    """The months are those of the organisation's time zone."""
    return (stream_of(command.user), ORGANISATION)


def _budget_now(work: Work, question: BudgetNow) -> BudgetUse:
    return budget_use(budget_of(work, question.user), organisation_of(work).time_zone, work.now)


DECIDERS: dict[type, Decider] = {
    SetBudget: Decider(_budget, set_budget),
    RecordCost: Decider(_budget_and_zone, record_cost, tags=lambda command: (cost_tag(command.cost_id),)),
}

ANSWERERS: dict[type, Answerer] = {
    BudgetNow: Answerer(_budget_and_zone, _budget_now),
    CheckBudget: Answerer(_budget, lambda work, question: check_budget(budget_of(work, question.user), question)),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Budget(), evolve),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
