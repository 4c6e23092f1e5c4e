"""Read model: users' monthly budgets, in integer micro-USD."""

from dataclasses import dataclass
from datetime import datetime

from domain.budgets.events import BudgetEvent, BudgetSet, CostRecorded
from domain.budgets.state import DEFAULT_BUDGET, USD
from projections.facts import Fact, follows
from projections.rows import Rows
from projections.table import Table
from projections.use_holds import UseHold, change


@dataclass(slots=True)
class BudgetRow:
    """One user's row (budgets.sql)."""

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


TABLE = Table(
    "budgets",
    BudgetRow,
    {"org": "text", "user_id": "text", "monthly": "int8", "ceiling": "int8", "used": "int8", "held": "int8"}
    | {"period_key": "text", "idle_key": "text", "period_start": "timestamptz", "period_end": "timestamptz"}
    | {"version": "int8", "position": "int8", "updated_at": "timestamptz"},
    key=2,
)


def opened(fact: Fact) -> BudgetRow:
    """The row of a user before the first event: the default budget (S2)."""
    return BudgetRow(fact.org, fact.id, DEFAULT_BUDGET, None, 0, 0, "", "", None, None, 0, 0, fact.time)


def apply(row: BudgetRow, holds: Rows[UseHold], fact: Fact, event: BudgetEvent) -> None:
    """Fold one event. Raises CannotApply where it is not the next one, or about a hold that is unknown."""
    follows(fact, row.version)
    match event:
        case BudgetSet():
            row.monthly, row.ceiling = event.monthly, event.ceiling
        case CostRecorded():
            if event.success:
                row.used += event.usd
        case _:
            row.used, row.held = change(holds, row, fact, event).amount(USD, row.used, row.held)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
