"""Deliver what was paid for, once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.credits.address import payment_tag, stream_of
from domain.credits.events import Paid
from domain.credits.grant import Grant, grant
from domain.kernel.work import Work
from domain.organisations.choose import ANNUAL_CYCLES, on_terms, plan_accounts, take_effect
from domain.organisations.events import Billing
from domain.organisations.state import STREAM as ORGANISATION
from domain.plans.events import Package, PurchaseCompleted, PurchaseStarted
from domain.plans.refusals import NoSuchPurchase, PaymentMismatch, PaymentUsed, PurchaseCompletedAlready
from domain.plans.state import Purchase, purchase_stream

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
    purchase: Purchase = work.state(purchase_stream(command.purchase_id))
    started = purchase.started
    if started is None:
        return ()
    if started.plan is not None:
        return plan_accounts(work.org, work.state(ORGANISATION), started.plan)
    return (stream_of(started.address),) if started.address else ()


def complete_purchase(work: Work, command: CompletePurchase, now: datetime) -> list[tuple[str, Any]]:
    """The payment, and what it buys, in one decision. The same payment told again changes nothing.

    A payment that arrives after the purchase was given up is honoured: the money is there. A plan is bought for the
    running cycle, or for twelve with it, and ends then unless it is bought again before (docs/decisions/0008).
    Raises NoSuchPurchase, PurchaseCompletedAlready, PaymentUsed, PaymentMismatch, AccountClosed, TooMany.
    """
    stream = purchase_stream(command.purchase_id)
    purchase: Purchase = work.state(stream)
    started = purchase.started
    if started is None:
        raise NoSuchPurchase(command.purchase_id)
    if purchase.payment_ref is not None:
        if purchase.payment_ref == command.payment_ref:
            return []
        raise PurchaseCompletedAlready(command.purchase_id, purchase.payment_ref)
    if work.events(payment_tag(command.payment_ref)):
        raise PaymentUsed(command.payment_ref)
    if command.paid != started.price:
        raise PaymentMismatch(command.purchase_id, started.price, command.paid)
    completed = PurchaseCompleted(purchase_id=command.purchase_id, payment_ref=command.payment_ref)
    return [(stream, completed), *_delivered(work, command, started, now)]


def _delivered(work: Work, command: CompletePurchase, started: PurchaseStarted, now: datetime) -> list[tuple[str, Any]]:
    if started.plan is not None:
        cycles = ANNUAL_CYCLES if started.billing is Billing.ANNUAL else 1
        chosen = on_terms(work.state(ORGANISATION), started.plan, started.billing, cycles, now)
        return take_effect(work, chosen, now)
    if started.package is None or started.address is None:
        return []
    stream = stream_of(started.address)
    wanted = _grant(command, started.package, started.address, now)
    return [(stream, event) for event in grant(work.state(stream), wanted, now)]


def _grant(command: CompletePurchase, package: Package, address: str, now: datetime) -> Grant:
    days = package.expires_after_days
    return Grant(
        address=address,
        grant_id=f"purchase.{command.purchase_id}",
        amount=package.amount,
        source=SOURCE,
        expires_at=now + timedelta(days=days) if days else None,
        external_ref=command.payment_ref,
        paid=command.paid,
    )
