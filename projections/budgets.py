"""Read models `budgets`: users' monthly budgets; `costs`: every attempt with a price in USD, for analytics (S2).

All amounts are integer micro-USD.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, get_args

from domain.budgets.events import BudgetEvent, BudgetSet, CostRecorded
from domain.budgets.state import DEFAULT_BUDGET, USD
from domain.generations import events
from domain.resources.budget import BUDGET
from projections.facts import Fact
from projections.generations import GENERATIONS, GenerationRow, by_resource
from projections.read_model import Due, Index, Keep, ReadModel, State
from projections.use_holds import amount_after, turn

_ENDS = (
    events.GenerationCompleted,
    events.GenerationSettledLate,
    events.GenerationFailed,
    events.GenerationCancelled,
    events.GenerationExpired,
)
ATTEMPTS = frozenset({"completed", "failed", "settled_late"})  # ends of generations that are attempts


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


def fold_budget(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    row, event = state.next_row(BUDGETS, (fact.org, fact.id), fact, opened), fact.event
    match event:
        case BudgetSet():
            row.monthly, row.ceiling = event.monthly, event.ceiling
        case CostRecorded():
            if event.success:
                row.used += event.usd
        case _:
            row.used, row.held = amount_after(state, fact, row.period_key, USD, row.used, row.held)
            turn(row, event)


BUDGETS: ReadModel[BudgetRow] = ReadModel(
    name="budgets",
    row=BudgetRow,
    key=("org", "user_id"),
    events={"budget": get_args(BudgetEvent)},
    fold=fold_budget,
    needs=lambda needed, fact: needed.row(BUDGETS, (fact.org, fact.id)),
    stream="'budget/' || user_id",
    due=(Due("period_end", "period_end is not null"),),
    fillfactor=70,
)


class Cost(NamedTuple):
    """One row for each attempt with a price in USD, and for each refund of one; integer micro-USD. `kind`: recorded
    (made elsewhere), generation (one of Scrip's own that ended; `id` is its id) or refund (of a generation; `usd` is
    negative, and it is no attempt). `usd` counts only where `success`.
    """

    org: str
    position: int
    kind: str
    id: str
    user_id: str
    usd: int
    success: bool
    size: str | None
    quality: str | None
    generation_time_ms: int | None
    sealed: str | None
    created_at: datetime


def recorded(fact: Fact, event: CostRecorded) -> Cost:
    """The row of an attempt that was made elsewhere."""
    return Cost(
        fact.org, fact.position, "recorded", event.cost_id, fact.id, event.usd, event.success, event.size,
        event.quality, event.generation_time_ms, event.sealed, fact.time,
    )  # fmt: skip


def of_generation(fact: Fact, row: GenerationRow, kind: str, usd: int, *, success: bool) -> Cost:
    """The row of a generation that has ended (`kind` generation), or of what a refund of one gave back."""
    return Cost(
        fact.org, fact.position, kind, row.id, row.user_id, usd, success, option(row, "size"), option(row, "quality"),
        row.generation_time_ms, row.sealed_end or row.sealed, fact.time,
    )  # fmt: skip


def option(row: GenerationRow, name: str) -> str | None:
    """An option as text, none where it was not given."""
    value = row.options.get(name)
    return None if value is None else str(value)


def fold_cost(state: State, fact: Fact) -> None:
    """Add the row of an attempt that cost something or could have, and of a refund of one."""
    event, log = fact.event, state.log(COSTS)
    if isinstance(event, CostRecorded):
        log.append(recorded(fact, event))
        return
    row = state.known(GENERATIONS, (fact.org, fact.id), fact, "generation")
    if isinstance(event, events.GenerationRefunded):
        usd = by_resource(event.returned).get(BUDGET.name, 0)
        if usd:
            log.append(of_generation(fact, row, "refund", -usd, success=True))
    else:
        # What parts have spent was noted when it expired, where it is completed late.
        usd = event.usd if isinstance(event, events.GenerationSettledLate) else row.charged_usd
        if usd or (row.quoted_usd and row.status in ATTEMPTS):
            success = row.status != "failed" or usd > 0  # one that failed cost nothing that counts
            log.append(of_generation(fact, row, "generation", usd, success=success))


COSTS = ReadModel(
    name="costs",
    row=Cost,
    key=("org", "position"),
    events={"generation": (*_ENDS, events.GenerationRefunded), "budget": (CostRecorded,)},
    fold=fold_cost,
    keep=Keep.LOG,
    indexes=(Index("org, user_id, position desc"), Index("org, user_id, created_at")),
)
