"""Record what a generation that was made elsewhere has cost (S2)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from domain.budgets.events import BudgetEvent, CostRecorded
from domain.budgets.refusals import CostExists, CostIdReused, InvalidCost
from domain.budgets.state import USD, Budget, stream_of
from domain.periods import Every
from domain.quotas.quota import begun, fits

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


def record_cost(
    budget: Budget, zone: str, command: RecordCost, now: datetime, same_id: Iterable[tuple[str, CostRecorded]] = ()
) -> tuple[BudgetEvent, ...]:
    """What was spent is spent, so it is recorded above the budget too; the first record begins the month.

    `same_id`: what is recorded under the id, with its stream. Texts are not compared: they are encrypted.
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
    for stream, known in same_id:
        if stream != stream_of(command.user) or replace(known, sealed=None) != replace(recorded, sealed=None):
            raise CostIdReused(cost_id=command.cost_id)
        raise CostExists(cost_id=command.cost_id)
    if command.success:
        fits(budget.quota, {USD: command.usd})
    return (*begun(budget.quota, Every.MONTH, zone, now), recorded)
