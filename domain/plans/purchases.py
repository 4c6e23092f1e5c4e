"""Purchases of packages and plans: they start, and are completed by a payment or given up."""

from dataclasses import dataclass
from datetime import timedelta

from domain.credits.address import parse_address, payment_tag, stream_of
from domain.credits.commands import Grant, add
from domain.credits.events import Paid
from domain.kernel.domain import Decider, Module, timeless
from domain.kernel.work import Work
from domain.organisations.commands import ANNUAL_CYCLES, on_terms, plan_accounts, take_effect
from domain.organisations.events import Billing
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.plans.events import Package, PurchaseCompleted, PurchaseFailed, PurchaseStarted
from domain.plans.refusals import (
    InvalidOffer,
    NoSuchPurchase,
    NotForSale,
    PaymentMismatch,
    PaymentUsed,
    PurchaseCompletedAlready,
    PurchaseExists,
)
from domain.plans.state import (
    PURCHASE_PREFIX,
    STREAM,
    Catalogue,
    Purchase,
    catalogue_of,
    evolve_purchase,
    price_of,
    purchase_of,
    purchase_stream,
)

MAX_ID = 200  # the grant is named after it, and ids have at most 255 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPurchase:
    """Start to buy exactly one of `package` and `plan`. Nothing is delivered before it is paid.

    `purchase_id` has at most 200 characters, `provider` names who takes the payment. `address` is the account that a
    package is for: none for the user's own, or the organisation's for tokens of a type. `billing` is for plans.
    """

    purchase_id: str
    user: str
    provider: str
    package: str | None = None
    plan: str | None = None
    billing: Billing = Billing.MONTHLY
    address: str | None = None


def start_purchase(work: Work, command: StartPurchase) -> None:
    """What is bought, at the price of now. Raises PurchaseExists, InvalidOffer, NotForSale."""
    if purchase_of(work, command.purchase_id).started is not None:
        raise PurchaseExists(command.purchase_id)
    if len(command.purchase_id) > MAX_ID:
        raise InvalidOffer("purchase_id", f"must have at most {MAX_ID} characters", MAX_ID)
    if (command.package is None) == (command.plan is None):
        raise InvalidOffer("package", "must be given, or a plan, but not both")
    catalogue = catalogue_of(work)
    if command.plan is not None:
        started = _plan(catalogue, command, command.plan)
    else:
        started = _package(catalogue, command, work.org)
    work.emit(purchase_stream(command.purchase_id), started)


def _package(catalogue: Catalogue, command: StartPurchase, org: str) -> PurchaseStarted:
    package = next((each for each in catalogue.packages if each.id == command.package), None)
    if package is None:
        raise NotForSale("package", command.package or "", tuple(each.id for each in catalogue.packages))
    return PurchaseStarted(
        purchase_id=command.purchase_id,
        user=command.user,
        provider=command.provider,
        price=package.price,
        package=package,
        address=_address(package, command, org),
    )


def _plan(catalogue: Catalogue, command: StartPurchase, plan: str) -> PurchaseStarted:
    if command.address is not None:
        raise InvalidOffer("address", "is for packages: a plan is the organisation's")
    terms = catalogue.plans.get(plan)
    price = price_of(terms, command.billing) if terms else None
    if terms is None or price is None:
        raise NotForSale("plan", plan, tuple(name for name, each in catalogue.plans.items() if each.price))
    return PurchaseStarted(
        purchase_id=command.purchase_id,
        user=command.user,
        provider=command.provider,
        price=price,
        plan=terms,
        billing=command.billing,
    )


def _address(package: Package, command: StartPurchase, org: str) -> str:
    if command.address is None:
        owner = f"org:{org}" if package.unit.startswith("tokens.") else f"user:{command.user}"
        return f"{owner}:{package.unit}"
    try:
        unit = parse_address(command.address).unit
    except ValueError as error:
        raise InvalidOffer("address", str(error)) from None
    if unit != package.unit:
        raise InvalidOffer("address", f"must be an account for {package.unit}")
    return command.address


SOURCE = "purchase"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletePurchase:
    """The provider says that a purchase is paid; `payment_ref` is its own id of the payment, `paid` what it took."""

    purchase_id: str
    payment_ref: str
    paid: Paid


def _first_streams(command: CompletePurchase) -> tuple[str, ...]:
    """The purchase, and the organisation, whose plan it may change."""
    return (purchase_stream(command.purchase_id), ORGANISATION)


def _further_streams(work: Work, command: CompletePurchase) -> tuple[str, ...]:
    """The accounts that it would change."""
    started = purchase_of(work, command.purchase_id).started
    if started is None:
        return ()
    if started.plan is not None:
        return plan_accounts(work.org, organisation_of(work), started.plan)
    return (stream_of(started.address),) if started.address else ()


def complete_purchase(work: Work, command: CompletePurchase) -> None:
    """The payment, and what it buys, in one decision. A repeated report of the same payment changes nothing.

    A payment that arrives after the purchase was given up is honoured: the money is there. A plan is bought for the
    running cycle, or for twelve with it, and ends then unless it is bought again before (docs/decisions/0008).
    Raises NoSuchPurchase, PurchaseCompletedAlready, PaymentUsed, PaymentMismatch, AccountClosed, TooMany,
    NotCounted.
    """
    purchase = purchase_of(work, command.purchase_id)
    started = purchase.started
    if started is None:
        raise NoSuchPurchase(command.purchase_id)
    if purchase.payment_ref is not None:
        if purchase.payment_ref == command.payment_ref:
            return
        raise PurchaseCompletedAlready(command.purchase_id, purchase.payment_ref)
    if work.events(payment_tag(command.payment_ref)):
        raise PaymentUsed(command.payment_ref)
    if command.paid != started.price:
        raise PaymentMismatch(command.purchase_id, started.price, command.paid)
    completed = PurchaseCompleted(purchase_id=command.purchase_id, payment_ref=command.payment_ref)
    work.emit(purchase_stream(command.purchase_id), completed)
    _deliver(work, command, started)


def _deliver(work: Work, command: CompletePurchase, started: PurchaseStarted) -> None:
    if started.plan is not None:
        cycles = ANNUAL_CYCLES if started.billing is Billing.ANNUAL else 1
        chosen = on_terms(organisation_of(work), started.plan, started.billing, cycles, work.now)
        take_effect(work, chosen)
    elif started.package is not None and started.address is not None:
        days = started.package.expires_after_days
        bought = Grant(
            address=started.address,
            grant_id=f"purchase.{command.purchase_id}",
            amount=started.package.amount,
            source=SOURCE,
            expires_at=work.now + timedelta(days=days) if days else None,
            external_ref=command.payment_ref,
            paid=command.paid,
        )
        add(work, bought)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailPurchase:
    """The provider says that a purchase will not be paid; `reason` is a short code such as `declined`."""

    purchase_id: str
    reason: str


def fail_purchase(work: Work, command: FailPurchase) -> None:
    """Nothing happens where it was given up before. Raises NoSuchPurchase, PurchaseCompletedAlready."""
    purchase = purchase_of(work, command.purchase_id)
    if purchase.started is None:
        raise NoSuchPurchase(command.purchase_id)
    if purchase.payment_ref is not None:
        raise PurchaseCompletedAlready(command.purchase_id, purchase.payment_ref)
    if purchase.status != "failed":
        failed = PurchaseFailed(purchase_id=command.purchase_id, reason=command.reason)
        work.emit(purchase_stream(command.purchase_id), failed)


def _purchase(command: StartPurchase | FailPurchase) -> tuple[str, ...]:
    return (purchase_stream(command.purchase_id),)


MODULE = Module(
    deciders={
        StartPurchase: Decider(_purchase, start_purchase, platform=(STREAM,)),
        CompletePurchase: Decider(
            _first_streams,
            complete_purchase,
            tags=lambda command: (payment_tag(command.payment_ref),),
            streams_from_state=_further_streams,
        ),
        FailPurchase: Decider(_purchase, fail_purchase),
    },
    kinds={PURCHASE_PREFIX: timeless(Purchase(), evolve_purchase, lambda _purchase: 1)},
)
