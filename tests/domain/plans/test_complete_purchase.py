"""Deliver what was paid for, once."""

from dataclasses import replace

import pytest

from domain.credits.commands import ConfigureAccount, Grant
from domain.credits.events import CreditsGranted, Paid, Slice
from domain.credits.refusals import AccountClosed, AlreadyExists
from domain.organisations.events import Billing
from domain.plans.events import Package, PurchaseCompleted
from domain.plans.publish import PublishPackages, PublishPlan
from domain.plans.purchases import CompletePurchase, FailPurchase, StartPurchase
from domain.plans.refusals import NoSuchPurchase, PaymentMismatch, PaymentUsed, PurchaseCompletedAlready
from tests.domain.organisations.offers import leads, standing
from tests.domain.scenario import NOW, Scenario, after

ANN = "user:ann:credits"
TEN = Paid(10_000_000, "USD")
PRO = Paid(29_000_000, "USD")
BUY = StartPurchase(purchase_id="p1", user="ann", provider="manual", package="credits_1000")
BUY_PRO = StartPurchase(purchase_id="p1", user="ann", provider="manual", plan="pro")
PAID = CompletePurchase(purchase_id="p1", payment_ref="pay1", paid=TEN)
PAID_PRO = replace(PAID, paid=PRO)
COMPLETED = ("purchase/p1", PurchaseCompleted(purchase_id="p1", payment_ref="pay1"))


def test_a_package_is_granted_with_its_payment_in_one_decision() -> None:
    """S3-9: token packages bought on demand; contract: the signed callback grants once."""
    grant = CreditsGranted(grant=Slice("purchase.p1", 1000, "purchase", 50, None, NOW), external_ref="pay1", paid=TEN)
    Scenario().done(BUY).when(PAID).then(COMPLETED, (ANN, grant))


def test_the_same_payment_told_again_changes_nothing() -> None:
    scenario = Scenario().done(BUY, PAID)
    scenario.when(PAID).then_nothing()
    scenario.at(after(days=90)).when(PAID).then_nothing()
    assert scenario.account(ANN).available == 1000


def test_another_payment_of_the_same_purchase_is_refused() -> None:
    refusal = PurchaseCompletedAlready("p1", "pay1")
    Scenario().done(BUY, PAID).when(replace(PAID, payment_ref="pay2")).then_refused(refusal)
    assert str(refusal) == "The purchase p1 is completed already, by the payment pay1."


@pytest.mark.parametrize("first", [BUY, BUY_PRO], ids=["package", "plan"])
def test_one_payment_pays_for_one_purchase(first: StartPurchase) -> None:
    paid = TEN if first is BUY else PRO
    scenario = Scenario().done(first, replace(PAID, paid=paid), replace(BUY, purchase_id="p2"))
    refusal = PaymentUsed("pay1")
    scenario.when(replace(PAID, purchase_id="p2")).then_refused(refusal)
    assert str(refusal) == "The payment pay1 has already paid for something else."


@pytest.mark.parametrize("buy", [BUY, BUY_PRO], ids=["package", "plan"])
def test_a_payment_that_paid_for_a_purchase_is_no_reference_of_another_grant(buy: StartPurchase) -> None:
    """Contract: external_ref is unique in the organisation, whoever brings it."""
    grant = Grant(address=ANN, grant_id="g1", amount=1, source="purchase", external_ref="pay1")
    scenario = Scenario().done(buy, replace(PAID, paid=TEN if buy is BUY else PRO))
    scenario.when(grant).then_refused(AlreadyExists(field="external_ref", value="pay1"))
    Scenario().done(grant, BUY).when(PAID).then_refused(PaymentUsed("pay1"))


@pytest.mark.parametrize("paid", [Paid(9_999_999, "USD"), Paid(10_000_001, "USD"), Paid(10_000_000, "EUR")])
def test_something_else_than_the_price_buys_nothing(paid: Paid) -> None:
    scenario = Scenario().done(BUY)
    scenario.when(replace(PAID, paid=paid)).then_refused(PaymentMismatch("p1", TEN, paid))
    scenario.when(PAID).then(COMPLETED, (ANN, scenario.ledger.log[-1][1]))


def test_a_wrong_payment_is_told_in_money() -> None:
    refusal = PaymentMismatch("p1", TEN, Paid(1_250_000, "EUR"))
    assert str(refusal) == "The purchase p1 costs 10.00 USD, but 1.25 EUR was paid."
    assert refusal.facts() == {"purchase_id": "p1", "price": "10.00 USD", "paid": "1.25 EUR"}


def test_what_was_paid_for_is_what_is_delivered_whatever_was_published_since() -> None:
    scenario = Scenario().done(BUY, PublishPackages(packages=()), PAID)
    assert scenario.account(ANN).available == 1000
    less = PublishPlan(plan="pro", name="Pro", tokens={"forecast": 1}, price=Paid(1, "USD"))
    scenario = Scenario().done(BUY_PRO, less, PAID_PRO)
    assert leads(scenario).available == 50


def test_a_package_may_expire() -> None:
    pack = Package(id="pack", name="Pack", unit="credits", amount=5, price=TEN, expires_after_days=90)
    buy = replace(BUY, package="pack")
    scenario = Scenario().done(PublishPackages(packages=(pack,)), buy).at(after(days=1)).done(PAID)
    assert [part.expires_at for part in scenario.account(ANN).grants] == [after(days=91)]


def test_a_plan_is_bought_for_the_cycle_that_runs() -> None:
    scenario = Scenario().done(BUY_PRO, PAID_PRO)
    told = standing(scenario)
    assert (told.plan, told.billing, told.paid_until) == ("pro", Billing.MONTHLY, after(days=30))
    assert told.tokens["lead_generation"].balance == 50
    scenario.at(after(days=30))
    assert standing(scenario).plan == "starter"
    assert standing(scenario).tokens["lead_generation"].balance == 0


def test_bought_again_before_its_end_it_goes_on() -> None:
    again = replace(BUY_PRO, purchase_id="p2")
    scenario = Scenario().done(BUY_PRO, PAID_PRO).at(after(days=29)).done(again)
    scenario.done(replace(PAID_PRO, purchase_id="p2", payment_ref="pay2"))
    assert standing(scenario).paid_until == after(days=60)
    assert leads(scenario).granted == 50
    scenario.at(after(days=30))
    assert standing(scenario).tokens["lead_generation"].balance == 50


def test_a_year_is_prepaid() -> None:
    """S3-9: annual prepaid."""
    year = Paid(278_400_000, "USD")
    scenario = Scenario().done(replace(BUY_PRO, billing=Billing.ANNUAL), replace(PAID, paid=year))
    assert (standing(scenario).billing, standing(scenario).paid_until) == (Billing.ANNUAL, after(days=360))


def test_a_payment_that_comes_after_all_is_honoured() -> None:
    """The provider has the money: to refuse it would take it for nothing."""
    scenario = Scenario().done(BUY, FailPurchase(purchase_id="p1", reason="declined"), PAID)
    assert scenario.account(ANN).available == 1000
    assert scenario.ledger.state("purchase/p1").status == "completed"


def test_a_closed_account_gets_nothing_and_the_purchase_stays_open() -> None:
    closed = ConfigureAccount(address=ANN, closed=True)
    scenario = Scenario().done(BUY, closed)
    scenario.when(PAID).then_refused(AccountClosed())
    scenario.done(replace(closed, closed=False), PAID)


def test_there_must_be_such_a_purchase() -> None:
    refusal = NoSuchPurchase("p1")
    Scenario().when(PAID).then_refused(refusal)
    assert str(refusal) == "There is no purchase p1."
