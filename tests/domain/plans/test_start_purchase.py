"""Start to buy a package or a plan."""

from dataclasses import replace

import pytest

from domain.credits.events import Paid
from domain.organisations.events import Billing
from domain.plans.catalogue import PACKAGES, PLANS
from domain.plans.events import PurchaseStarted
from domain.plans.purchases import StartPurchase
from domain.plans.refusals import InvalidOffer, NotForSale, PurchaseExists
from tests.domain.scenario import Scenario

PACK = {package.id: package for package in PACKAGES}
BUY = StartPurchase(purchase_id="p1", user="ann", provider="manual", package="credits_1000")
BUY_PRO = StartPurchase(purchase_id="p1", user="ann", provider="manual", plan="pro")


@pytest.mark.parametrize(
    ("package", "address", "account"),
    [
        ("credits_1000", None, "user:ann:credits"),
        ("tokens_1000", None, "user:ann:tokens"),
        ("leads_50", None, "org:acme:tokens.lead_generation"),
        ("credits_1000", "org:acme:credits", "org:acme:credits"),
    ],
)
def test_a_package_is_for_the_buyer_or_the_organisation_or_who_is_named(
    package: str, address: str | None, account: str
) -> None:
    """S3-9: token packages bought on demand. Nothing is delivered yet."""
    Scenario().when(replace(BUY, package=package, address=address)).then(
        (
            "purchase/p1",
            PurchaseStarted(
                purchase_id="p1",
                user="ann",
                provider="manual",
                price=PACK[package].price,
                package=PACK[package],
                address=account,
            ),
        )
    )


@pytest.mark.parametrize(("billing", "micros"), [(Billing.MONTHLY, 29_000_000), (Billing.ANNUAL, 278_400_000)])
def test_a_plan_has_the_price_of_its_billing(billing: Billing, micros: int) -> None:
    """S3-9: annual prepaid discount."""
    terms = {plan.plan: plan for plan in PLANS}["pro"]
    Scenario().when(replace(BUY_PRO, billing=billing)).then(
        (
            "purchase/p1",
            PurchaseStarted(
                purchase_id="p1",
                user="ann",
                provider="manual",
                price=Paid(micros, "USD"),
                plan=terms,
                billing=billing,
            ),
        )
    )


def test_an_id_is_used_once() -> None:
    refusal = PurchaseExists("p1")
    Scenario().done(BUY).when(BUY_PRO).then_refused(refusal)
    assert str(refusal) == "There is a purchase p1 already."


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (replace(BUY, package="gold"), NotForSale("package", "gold", tuple(PACK))),
        (replace(BUY_PRO, plan="gold"), NotForSale("plan", "gold", ("pro", "enterprise"))),
        (replace(BUY_PRO, plan="starter"), NotForSale("plan", "starter", ("pro", "enterprise"))),
        (replace(BUY, package=None), InvalidOffer("package", "must be given, or a plan, but not both")),
        (replace(BUY, plan="pro"), InvalidOffer("package", "must be given, or a plan, but not both")),
        (replace(BUY, purchase_id="p" * 201), InvalidOffer("purchase_id", "must have at most 200 characters", 200)),
        (
            replace(BUY, address="user:ann:tokens"),
            InvalidOffer("address", "must be an account for credits"),
        ),
        (
            replace(BUY, address="ann"),
            InvalidOffer("address", "an address is owner_type:owner_id:unit, for example user:u_42:credits"),
        ),
        (
            replace(BUY_PRO, address="org:acme:credits"),
            InvalidOffer("address", "is for packages: a plan is the organisation's"),
        ),
    ],
)
def test_refuses_what_cannot_be_bought(command: StartPurchase, refusal: NotForSale | InvalidOffer) -> None:
    Scenario().when(command).then_refused(refusal)
    assert str(refusal).startswith(f"{refusal.field}: ")
