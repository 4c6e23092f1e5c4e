"""Every way in which a command on a budget can be refused."""

from domain.refusal import Refusal, RefusalKind
from domain.wording import usd_text


class InvalidBudget(Refusal, code="invalid_budget", kind=RefusalKind.INVALID):
    """A budget or a ceiling out of bounds (S2); `limit` is the bound that was passed, in micro-USD."""

    field: str
    limit: int
    least: bool  # whether `limit` is the least rather than the most

    def facts(self) -> dict[str, object]:
        return {"field": self.field, "limit": self.limit}

    def __str__(self) -> str:
        return f"{self.field}: must be at {'least' if self.least else 'most'} {usd_text(self.limit)}."


class CeilingNotYours(Refusal, code="ceiling_not_yours", kind=RefusalKind.INVALID):
    """The ceiling is what an administrator sets for the user; the user cannot change it."""

    field: str = "ceiling"

    def __str__(self) -> str:
        return f"{self.field}: only an administrator sets it."


class AboveCeiling(Refusal, code="above_ceiling", kind=RefusalKind.CONFLICT):
    """The budget may not be raised above the ceiling, in micro-USD, that an administrator has set."""

    monthly: int
    ceiling: int

    def __str__(self) -> str:
        return f"The budget {usd_text(self.monthly)} is above the ceiling of {usd_text(self.ceiling)}."


class InvalidCost(Refusal, code="invalid_cost", kind=RefusalKind.INVALID):
    """A cost or duration out of bounds (S2: negative values are refused); `limit` is the most that is possible."""

    field: str
    limit: int

    def __str__(self) -> str:
        return f"{self.field}: must be from 0 to {self.limit}."


class CostExists(Refusal, code="exists", kind=RefusalKind.CONFLICT):
    """A cost of this id is recorded already; the same id twice counts once (contract)."""

    cost_id: str

    def __str__(self) -> str:
        return f"The cost {self.cost_id} is recorded already; it counts once."


class CostIdReused(Refusal, code="cost_id_reused", kind=RefusalKind.CONFLICT):
    """Another cost is recorded under this id: another user's, or with other figures."""

    cost_id: str

    def __str__(self) -> str:
        return f"The id {self.cost_id} is that of another cost, which was recorded before; this one was not recorded."
