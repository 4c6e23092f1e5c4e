"""Give a purchase up that was not paid."""

from dataclasses import dataclass

from domain.kernel.work import Work
from domain.plans.events import PurchaseFailed
from domain.plans.refusals import NoSuchPurchase, PurchaseCompletedAlready
from domain.plans.state import purchase_of, purchase_stream


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
