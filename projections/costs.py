"""Read model: every attempt with a price in USD, the base of a user's budget analytics (S2). Integer micro-USD."""

from datetime import datetime
from typing import NamedTuple

from domain.budgets.events import CostRecorded
from domain.generations.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationExpired,
    GenerationFailed,
    GenerationRefunded,
    GenerationSettledLate,
)
from domain.resources.budget import BUDGET
from projections.facts import Fact
from projections.generations import GENERATIONS, GenerationRow, by_resource
from projections.read_model import Index, Keep, ReadModel, State

_ENDS = (GenerationCompleted, GenerationSettledLate, GenerationFailed, GenerationCancelled, GenerationExpired)
ATTEMPTS = frozenset({"completed", "failed", "settled_late"})  # ends of generations that are attempts


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


def generated(fact: Fact, row: GenerationRow, usd: int) -> Cost:
    """The row of a generation that has ended and spent `usd`; one that failed cost nothing that counts."""
    success = row.status != "failed" or usd > 0
    return _cost(fact, row, "generation", usd, success=success)


def refunded(fact: Fact, row: GenerationRow, usd: int) -> Cost:
    """The row of `usd` that a refund gave back."""
    return _cost(fact, row, "refund", -usd, success=True)


def _cost(fact: Fact, row: GenerationRow, kind: str, usd: int, *, success: bool) -> Cost:
    size, quality = option(row, "size"), option(row, "quality")
    text = row.sealed_end or row.sealed
    return Cost(
        fact.org, fact.position, kind, row.id, row.user_id, usd, success, size, quality, row.generation_time_ms,
        text, fact.time,
    )  # fmt: skip


def option(row: GenerationRow, name: str) -> str | None:
    """An option as text, none where it was not given."""
    value = row.options.get(name)
    return None if value is None else str(value)


def fold(state: State, fact: Fact) -> None:
    """Add the row of an attempt that cost something or could have, and of a refund of one."""
    event, log = fact.event, state.log(COSTS)
    if isinstance(event, CostRecorded):
        log.append(recorded(fact, event))
        return
    row = state.rows(GENERATIONS).get((fact.org, fact.id))
    if row is None:
        state.missing(fact, "generation")
    if isinstance(event, GenerationRefunded):
        usd = by_resource(event.returned).get(BUDGET.name, 0)
        if usd:
            log.append(refunded(fact, row, usd))
    else:
        # What parts have spent was noted when it expired, where it is completed late.
        usd = event.usd if isinstance(event, GenerationSettledLate) else row.charged_usd
        if usd or (row.quoted_usd and row.status in ATTEMPTS):
            log.append(generated(fact, row, usd))


COSTS = ReadModel(
    name="costs",
    row=Cost,
    key=("org", "position"),
    events={"generation": (*_ENDS, GenerationRefunded), "budget": (CostRecorded,)},
    fold=fold,
    keep=Keep.LOG,
    indexes=(Index("org, user_id, position desc"), Index("org, user_id, created_at")),
)
