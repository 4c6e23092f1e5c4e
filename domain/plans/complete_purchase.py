"""Deliver what was paid for, once."""

from dataclasses import dataclass
from datetime import timedelta

from domain.credits.address import payment_tag, stream_of
from domain.credits.events import Paid
from domain.credits.grant import Grant, add
from domain.kernel.work import Work
from domain.organisations.choose import ANNUAL_CYCLES, on_terms, plan_accounts, take_effect
from domain.organisations.events import Billing
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.plans.events import PurchaseCompleted, PurchaseStarted
from domain.plans.refusals import NoSuchPurchase, PaymentMismatch, PaymentUsed, PurchaseCompletedAlready
from domain.plans.state import purchase_of, purchase_stream

SOURCE = "purchase"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletePurchase:
    """The provider says that a purchase is paid; `payment_ref` is its own id of the payment, `paid` what it took."""

    purchase_id: str
    payment_ref: str
    paid: Paid


def first_streams(command: CompletePurchase) -> tuple[str, ...]:
    """The purchase, and the organisation, whose plan it may change."""
    return (purchase_stream(command.purchase_id), ORGANISATION)


def further_streams(work: Work, command: CompletePurchase) -> tuple[str, ...]:
    """The accounts that it would change."""
    started = purchase_of(work, command.purchase_id).started
    if started is None:
        return ()
    if started.plan is not None:
        return plan_accounts(work.org, organisation_of(work), started.plan)
    return (stream_of(started.address),) if started.address else ()


def complete_purchase(work: Work, command: CompletePurchase) -> None:
    """The payment, and what it buys, in one decision. The same payment told again changes nothing.

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
