"""How commands and questions on budgets are handled: which streams and tags they see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.budgets.events import EVENTS
from domain.budgets.now import BudgetCheck, BudgetNow, BudgetUse, CheckBudget, budget_use, check_budget
from domain.budgets.record_cost import RecordCost, record_cost
from domain.budgets.set_budget import SetBudget, set_budget
from domain.budgets.state import PREFIX, Budget, cost_tag, evolve, stream_of
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations import state as organisations
from domain.quotas import quota as quotas


def _budget(command: Any) -> tuple[str, ...]:
    return (stream_of(command.user),)


def _budget_and_zone(command: Any) -> tuple[str, ...]:
    """The months are those of the organisation's time zone."""
    return (stream_of(command.user), organisations.STREAM)


def _zone(work: Work) -> str:
    organisation: organisations.Organisation = work.state(organisations.STREAM)
    return organisation.time_zone


def _set_budget(work: Work, command: SetBudget, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    return [(stream, event) for event in set_budget(work.state(stream), command, now)]


def _record_cost(work: Work, command: RecordCost, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    same_id = work.events(cost_tag(command.cost_id))
    return [(stream, event) for event in record_cost(work.state(stream), _zone(work), command, now, same_id)]


def _budget_now(work: Work, question: BudgetNow, now: datetime) -> BudgetUse:
    return budget_use(work.state(stream_of(question.user)), _zone(work), now)


def _check_budget(work: Work, question: CheckBudget, _now: datetime) -> BudgetCheck:
    return check_budget(work.state(stream_of(question.user)), question)


DECIDERS: dict[type, Decider] = {
    SetBudget: Decider(_budget, _set_budget),
    RecordCost: Decider(_budget_and_zone, _record_cost, tags=lambda command: (cost_tag(command.cost_id),)),
}

ANSWERERS: dict[type, Answerer] = {
    BudgetNow: Answerer(_budget_and_zone, _budget_now),
    CheckBudget: Answerer(_budget, _check_budget),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Budget(), evolve),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
