"""Read model: users' monthly budgets, in integer micro-USD."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.budgets.events import BudgetEvent, BudgetSet, CostRecorded
from domain.budgets.state import DEFAULT_BUDGET, USD
from projections.facts import Fact, follows
from projections.read_model import Due, ReadModel, State
from projections.use_holds import change_of, turn


@dataclass(slots=True)
class BudgetRow:
    """One row for each user whose budget ever had an event; integer micro-USD. Without a row a user has the default.
    `used` and `held` are of the month that `period_key` names; where none runs, because nothing was used since the last
    one ended, `period_start` is null and the key is `idle_key`, which is empty.
    """

    org: str
    user_id: str
    monthly: int
    ceiling: int | None
    used: int
    held: int
    period_key: str
    idle_key: str
    period_start: datetime | None
    period_end: datetime | None
    version: int
    position: int
    updated_at: datetime


def opened(fact: Fact) -> BudgetRow:
    """The row of a user before the first event: the default budget (S2)."""
    return BudgetRow(fact.org, fact.id, DEFAULT_BUDGET, None, 0, 0, "", "", None, None, 0, 0, fact.time)


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    rows, key, event = state.rows(BUDGETS), (fact.org, fact.id), fact.event
    row = rows.get(key) or opened(fact)
    follows(fact, row.version)
    match event:
        case BudgetSet():
            row.monthly, row.ceiling = event.monthly, event.ceiling
        case CostRecorded():
            if event.success:
                row.used += event.usd
        case _:
            row.used, row.held = change_of(state, fact, row.period_key).amount(USD, row.used, row.held)
            turn(row, event)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
    rows.put(key, row)


BUDGETS: ReadModel[BudgetRow] = ReadModel(
    name="budgets",
    row=BudgetRow,
    key=("org", "user_id"),
    events={"budget": get_args(BudgetEvent)},
    fold=fold,
    needs=lambda needed, fact: needed.row(BUDGETS, (fact.org, fact.id)),
    stream="'budget/' || user_id",
    due=(Due("period_end", "period_end is not null"),),
    fillfactor=70,
)
