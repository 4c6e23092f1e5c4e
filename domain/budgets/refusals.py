"""Every way in which a command on a budget can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import Refusal, RefusalKind
from domain.wording import usd_text


@dataclass(unsafe_hash=True)
class InvalidBudget(Refusal):
    """A budget or a ceiling out of bounds (S2); `limit` is the bound that was passed, in micro-USD."""

    code: ClassVar[str] = "invalid_budget"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    limit: int
    least: bool  # whether `limit` is the least rather than the most

    def facts(self) -> dict[str, object]:
        return {"field": self.field, "limit": self.limit}

    def __str__(self) -> str:
        return f"{self.field}: must be at {'least' if self.least else 'most'} {usd_text(self.limit)}."


@dataclass(unsafe_hash=True)
class CeilingNotYours(Refusal):
    """The ceiling is what an administrator sets for the user; the user cannot change it."""

    code: ClassVar[str] = "ceiling_not_yours"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str = "ceiling"

    def __str__(self) -> str:
        return f"{self.field}: only an administrator sets it."


@dataclass(unsafe_hash=True)
class AboveCeiling(Refusal):
    """The budget may not be raised above the ceiling, in micro-USD, that an administrator has set."""

    code: ClassVar[str] = "above_ceiling"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    monthly: int
    ceiling: int

    def __str__(self) -> str:
        return f"The budget {usd_text(self.monthly)} is above the ceiling of {usd_text(self.ceiling)}."


@dataclass(unsafe_hash=True)
class InvalidCost(Refusal):
    """A cost or duration out of bounds (S2: negative values are refused); `limit` is the most that is possible."""

    code: ClassVar[str] = "invalid_cost"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    limit: int

    def __str__(self) -> str:
        return f"{self.field}: must be from 0 to {self.limit}."


@dataclass(unsafe_hash=True)
class CostExists(Refusal):
    """A cost of this id is recorded already; the same id twice counts once (contract)."""

    code: ClassVar[str] = "exists"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    cost_id: str

    def __str__(self) -> str:
        return f"The cost {self.cost_id} is recorded already; it counts once."


@dataclass(unsafe_hash=True)
class CostIdReused(Refusal):
    """Another cost is recorded under this id: another user's, or with other figures."""

    code: ClassVar[str] = "cost_id_reused"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    cost_id: str

    def __str__(self) -> str:
        return f"The id {self.cost_id} is that of another cost, which was recorded before; this one was not recorded."
