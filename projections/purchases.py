"""Read model: purchases of packages and plans, and what became of them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, assert_never

from domain.plans.events import PurchaseCompleted, PurchaseEvent, PurchaseFailed, PurchaseStarted
from projections.facts import CannotApply, Fact
from projections.table import Table


@dataclass(slots=True)
class PurchaseRow:
    """One purchase's row (purchases.sql)."""

    org: str
    id: str
    user_id: str
    provider: str
    status: str
    price: int
    currency: str
    package: dict[str, Any] | None
    address: str | None
    plan: str | None
    plan_version: int | None
    billing: str
    payment_ref: str | None
    reason: str | None
    created_at: datetime
    created_position: int
    ended_at: datetime | None
    position: int


TABLE = Table(
    "purchases",
    PurchaseRow,
    {"org": "text", "id": "text", "user_id": "text", "provider": "text", "status": "text", "price": "int8"}
    | {"currency": "text", "package": "jsonb"}
    | {"address": "text", "plan": "text", "plan_version": "int4"}
    | dict.fromkeys(("billing", "payment_ref", "reason"), "text")
    | {"created_at": "timestamptz", "created_position": "int8", "ended_at": "timestamptz", "position": "int8"},
    key=2,
)


def started(fact: Fact, event: PurchaseStarted) -> PurchaseRow:
    """The row of a new purchase."""
    plan = event.plan
    package = asdict(event.package) if event.package is not None else None
    return PurchaseRow(
        fact.org, event.purchase_id, event.user, event.provider, "pending", event.price.amount, event.price.currency,
        package, event.address, plan.plan if plan else None, plan.version if plan else None, str(event.billing),
        None, None, fact.time, fact.position, None, fact.position,
    )  # fmt: skip


def apply(row: PurchaseRow | None, fact: Fact, event: PurchaseEvent) -> PurchaseRow:
    """Fold one event. Raises CannotApply where the purchase is unknown, or started twice."""
    if isinstance(event, PurchaseStarted) and row is None:
        return started(fact, event)
    if isinstance(event, PurchaseStarted) or row is None:
        state = "unknown" if row is None else "started"
        raise CannotApply(fact.partition, fact.position, f"the purchase {fact.id} is {state}")
    match event:
        case PurchaseCompleted():
            row.status, row.payment_ref, row.reason = "completed", event.payment_ref, None
        case PurchaseFailed():
            row.status, row.reason = "failed", event.reason
        case _:
            assert_never(event)
    row.ended_at, row.position = fact.time, fact.position
    return row
