"""Facts about budgets. Money is integer micro-USD; what is held and used is in the events of `domain.quotas`."""

from dataclasses import dataclass

from domain.quotas.events import QuotaEvent
from domain.untagged import Untagged


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSet(Untagged):
    """The monthly budget from now on, and the ceiling above which the user may not raise it (none for none)."""

    monthly: int
    ceiling: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRecorded:
    """An attempt made elsewhere: what it cost counts only if it succeeded (S2)."""

    cost_id: str
    usd: int
    success: bool
    size: str | None = None
    quality: str | None = None
    generation_time_ms: int | None = None
    sealed: str | None = None  # prompt, image URL, error message

    @property
    def tag(self) -> str:
        return f"cost/{self.cost_id}"


BudgetEvent = BudgetSet | CostRecorded | QuotaEvent

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "budget-set.v1": BudgetSet,
    "cost-recorded.v1": CostRecorded,
}
