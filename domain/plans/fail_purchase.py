"""Give a purchase up that was not paid."""

from dataclasses import dataclass

from domain.plans.events import PurchaseFailed
from domain.plans.refusals import NoSuchPurchase, PurchaseCompletedAlready
from domain.plans.state import Purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class FailPurchase:
    """The provider says that a purchase will not be paid; `reason` is a short code such as `declined`."""

    purchase_id: str
    reason: str


def fail_purchase(purchase: Purchase, command: FailPurchase) -> tuple[PurchaseFailed, ...]:
    """Nothing happens where it was given up before. Raises NoSuchPurchase, PurchaseCompletedAlready."""
    if purchase.started is None:
        raise NoSuchPurchase(command.purchase_id)
    if purchase.payment_ref is not None:
        raise PurchaseCompletedAlready(command.purchase_id, purchase.payment_ref)
    if purchase.status == "failed":
        return ()
    return (PurchaseFailed(purchase_id=command.purchase_id, reason=command.reason),)
