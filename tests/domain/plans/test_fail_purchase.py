"""Give a purchase up that was not paid."""

from domain.credits.events import Paid
from domain.plans.events import PurchaseFailed
from domain.plans.purchases import CompletePurchase, FailPurchase, StartPurchase
from domain.plans.refusals import NoSuchPurchase, PurchaseCompletedAlready
from tests.domain.scenario import Scenario

BUY = StartPurchase(purchase_id="p1", user="ann", provider="manual", package="credits_1000")
FAIL = FailPurchase(purchase_id="p1", reason="declined")


def test_it_fails_once() -> None:
    """S3-9."""
    scenario = Scenario().done(BUY)
    scenario.when(FAIL).then(("purchase/p1", PurchaseFailed(purchase_id="p1", reason="declined")))
    scenario.when(FailPurchase(purchase_id="p1", reason="expired")).then_nothing()
    assert scenario.ledger.state("purchase/p1").status == "failed"


def test_what_is_paid_cannot_fail() -> None:
    paid = CompletePurchase(purchase_id="p1", payment_ref="pay1", paid=Paid(10_000_000, "USD"))
    Scenario().done(BUY, paid).when(FAIL).then_refused(PurchaseCompletedAlready("p1", "pay1"))


def test_there_must_be_such_a_purchase() -> None:
    Scenario().when(FAIL).then_refused(NoSuchPurchase("p1"))
