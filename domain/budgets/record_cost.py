"""Record what a generation that was made elsewhere has cost (S2)."""

from dataclasses import dataclass, replace

from domain.budgets.events import CostRecorded
from domain.budgets.refusals import CostExists, CostIdReused, InvalidCost
from domain.budgets.state import USD, budget_of, cost_tag, stream_of
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas.quota import begin, fits

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
