"""Read models `prices` and `catalogue`: each version that the platform published; `purchases` of what it sells."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, assert_never, get_args

from domain.plans import events
from domain.prices.events import PriceEntry, PricesPublished
from projections.facts import CannotApply, Fact
from projections.read_model import Index, Int4, Keep, ReadModel, State, Words

PLATFORM = "platform"  # the organisation whose prices and offers count


class Offer(NamedTuple):
    """What the platform published: every version of each plan (`kind` plan, `id` its name), of all features with the
    costs of token types (kind features, id empty) and of all packages (kind packages, id empty). What was never
    published has no row and is as the code ships it. `terms` is the event's own content.
    """

    kind: str
    id: str
    version: Int4
    terms: dict[str, Any]
    published_at: datetime
    position: int


def offer(fact: Fact, event: events.PlansEvent) -> Offer:
    """The row of a new version."""
    match event:
        case events.PlanPublished(plan=plan):
            kind, id_ = "plan", plan
        case events.FeaturesPublished():
            kind, id_ = "features", ""
        case events.PackagesPublished():
            kind, id_ = "packages", ""
        case _:
            assert_never(event)
    return Offer(kind, id_, event.version, asdict(event), fact.time, fact.position)


def fold_offer(state: State, fact: Fact) -> None:
    """Only the platform's offers count."""
    if fact.org == PLATFORM:
        state.log(CATALOGUE).append(offer(fact, fact.event))


CATALOGUE = ReadModel(
    name="catalogue",
    row=Offer,
    key=("kind", "id", "version"),
    events={"plans": get_args(events.PlansEvent)},
    fold=fold_offer,
    keep=Keep.LOG,
)


@dataclass(slots=True)
class Prices:
    """Every version of the price book. `entries` is a list of objects, fields without a value left out."""

    version: Int4
    effective_at: datetime
    entries: list[dict[str, Any]]
    published_at: datetime
    position: int


def _plain(entry: PriceEntry) -> dict[str, Any]:
    """What the entry says; `free` only where it is, for entries stored before it existed say nothing of it."""
    return {name: value for name, value in asdict(entry).items() if value not in (None, {}, ()) and value is not False}


def fold_prices(state: State, fact: Fact) -> None:
    """Only the platform's price book counts."""
    if fact.org == PLATFORM:
        event: PricesPublished = fact.event
        entries = [_plain(entry) for entry in event.entries]
        state.log(PRICES).append(Prices(event.version, event.effective_at, entries, fact.time, fact.position))


PRICES = ReadModel(
    name="prices", row=Prices, key=("version",), events={"prices": (PricesPublished,)}, fold=fold_prices, keep=Keep.LOG
)


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


def started(fact: Fact, event: events.PurchaseStarted) -> PurchaseRow:
    """The row of a new purchase."""
    plan = event.plan
    package = asdict(event.package) if event.package is not None else None
    return PurchaseRow(
        fact.org, event.purchase_id, event.user, event.provider, "pending", event.price.amount, event.price.currency,
        package, event.address, plan.plan if plan else None, plan.version if plan else None, str(event.billing),
        None, None, fact.time, fact.position, None, fact.position,
    )  # fmt: skip


def apply(row: PurchaseRow | None, fact: Fact, event: events.PurchaseEvent) -> PurchaseRow:
    """Fold one event. Raises CannotApply where the purchase is unknown, or started twice."""
    if isinstance(event, events.PurchaseStarted) and row is None:
        return started(fact, event)
    if isinstance(event, events.PurchaseStarted) or row is None:
        state = "unknown" if row is None else "started"
        raise CannotApply(fact.partition, fact.position, f"the purchase {fact.id} is {state}")
    match event:
        case events.PurchaseCompleted():
            row.status, row.payment_ref, row.reason = "completed", event.payment_ref, None
        case events.PurchaseFailed():
            row.status, row.reason = "failed", event.reason
        case _:
            assert_never(event)
    row.ended_at, row.position = fact.time, fact.position
    return row


def fold_purchase(state: State, fact: Fact) -> None:
    """Raises CannotApply where the purchase is unknown, or started twice."""
    rows, key = state.rows(PURCHASES), (fact.org, fact.id)
    rows.put(key, apply(rows.get(key), fact, fact.event))


PURCHASES: ReadModel[PurchaseRow] = ReadModel(
    name="purchases",
    row=PurchaseRow,
    key=("org", "id"),
    events={"purchase": get_args(events.PurchaseEvent)},
    fold=fold_purchase,
    needs=lambda needed, fact: needed.row(PURCHASES, (fact.org, fact.id)),
    indexes=(Index("org, user_id, created_position desc"),),
    fillfactor=80,
)
