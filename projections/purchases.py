"""Read model: purchases of packages and plans, and what became of them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, assert_never, get_args

from domain.plans.events import PurchaseCompleted, PurchaseEvent, PurchaseFailed, PurchaseStarted
from projections.facts import CannotApply, Fact
from projections.read_model import Index, Int4, ReadModel, State, Words


@dataclass(slots=True)
class PurchaseRow:
    """One row for each purchase. `status`: pending, completed or failed (`reason`). `price` in micro-units of
    `currency`. What was bought is `package`, as it was offered (an object), for the account `address`, or a `plan` with
    its `billing`.
    """

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
    plan_version: Int4 | None
    billing: str
    payment_ref: str | None
    reason: Words | None
    created_at: datetime
    created_position: int
    ended_at: datetime | None
    position: int


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


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where the purchase is unknown, or started twice."""
    rows, key = state.rows(PURCHASES), (fact.org, fact.id)
    rows.put(key, apply(rows.get(key), fact, fact.event))


PURCHASES: ReadModel[PurchaseRow] = ReadModel(
    name="purchases",
    row=PurchaseRow,
    key=("org", "id"),
    events={"purchase": get_args(PurchaseEvent)},
    fold=fold,
    needs=lambda needed, fact: needed.row(PURCHASES, (fact.org, fact.id)),
    indexes=(Index("org, user_id, created_position desc"),),
    fillfactor=80,
)
