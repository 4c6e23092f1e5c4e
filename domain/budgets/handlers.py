"""How commands and questions on budgets are handled: which streams and tags they see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.budgets.now import BudgetCheck, BudgetNow, BudgetUse, CheckBudget, budget_use, check_budget
from domain.budgets.record_cost import RecordCost, record_cost
from domain.budgets.set_budget import SetBudget, set_budget
from domain.budgets.state import cost_tag, stream_of
from domain.execution import Answerer, Handler, View
from domain.organisations import state as organisations


def _budget(command: Any) -> tuple[str, ...]:
    return (stream_of(command.user),)


def _budget_and_zone(command: Any) -> tuple[str, ...]:
    """The months are those of the organisation's time zone."""
    return (stream_of(command.user), organisations.STREAM)


def _zone(view: View) -> str:
    organisation: organisations.Organisation = view.state(organisations.STREAM)
    return organisation.time_zone


def _set_budget(view: View, command: SetBudget, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    return [(stream, event) for event in set_budget(view.state(stream), command, now)]


def _record_cost(view: View, command: RecordCost, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    same_id = view.tagged(cost_tag(command.cost_id))
    return [(stream, event) for event in record_cost(view.state(stream), _zone(view), command, now, same_id)]


def _budget_now(view: View, question: BudgetNow, now: datetime) -> BudgetUse:
    return budget_use(view.state(stream_of(question.user)), _zone(view), now)


def _check_budget(view: View, question: CheckBudget, _now: datetime) -> BudgetCheck:
    return check_budget(view.state(stream_of(question.user)), question)


HANDLERS: dict[type, Handler] = {
    SetBudget: Handler(_budget, _set_budget),
    RecordCost: Handler(_budget_and_zone, _record_cost, tags=lambda command: (cost_tag(command.cost_id),)),
}

ANSWERERS: dict[type, Answerer] = {
    BudgetNow: Answerer(_budget_and_zone, _budget_now),
    CheckBudget: Answerer(_budget, _check_budget),
}
