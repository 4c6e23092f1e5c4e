"""What uses cost in plan tokens, and plans in money (S3)."""

import pytest

from domain.credits.events import Paid
from domain.organisations.events import Billing
from domain.plans.events import Feature, PlanPublished
from domain.plans.state import Catalogue, UnknownTokenUse, price_of, token_cost

GOAL = Feature(
    name="goal",
    token_type="goal_generation",
    cost=3,
    complexity={"simple": 50, "complex": 250},
    bulk=((10, 10), (100, 33)),
)
CATALOGUE = Catalogue(features={"goal": GOAL, "plain": Feature(name="plain", token_type="general", cost=1)})
KNOWN = ("lead_generation", "goal_generation", "strategy_analysis", "forecast", "general")


def of_goal(quantity: int, complexity: str | None = None) -> int:
    token_type, cost = token_cost(CATALOGUE, token_type=None, feature="goal", quantity=quantity, complexity=complexity)
    assert token_type == "goal_generation"
    return cost


@pytest.mark.parametrize(
    ("quantity", "complexity", "cost"),
    [
        (1, None, 3),
        (9, None, 27),
        (10, None, 27),
        (99, None, 268),  # 267.3
        (100, None, 201),
        (1, "simple", 2),  # 1.5
        (1, "complex", 8),  # 7.5
        (10, "complex", 68),  # 67.5
    ],
)
def test_complexity_and_bulk_are_rounded_up_once_at_the_end(quantity: int, complexity: str | None, cost: int) -> None:
    """S3-9: dynamic costs (complex operations cost more), bulk discounts."""
    assert of_goal(quantity, complexity) == cost


def test_a_feature_without_complexities_costs_the_same_whatever_is_named() -> None:
    assert token_cost(CATALOGUE, token_type=None, feature="plain", complexity="complex") == ("general", 1)


def test_with_a_type_the_feature_is_only_a_label() -> None:
    """Contract: with both, feature is only a label."""
    assert token_cost(CATALOGUE, token_type="forecast", feature="goal", quantity=3) == ("forecast", 12)
    assert token_cost(CATALOGUE, token_type="forecast", feature="unheard of") == ("forecast", 4)


@pytest.mark.parametrize(
    ("token_type", "feature", "complexity", "refusal"),
    [
        ("love", None, None, UnknownTokenUse("token_type", "love", KNOWN)),
        (None, "love", None, UnknownTokenUse("feature", "love", ("goal", "plain"))),
        (None, None, None, UnknownTokenUse("feature", "", ("goal", "plain"))),
        (None, "goal", "odd", UnknownTokenUse("complexity", "odd", ("simple", "complex"))),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(
    token_type: str | None, feature: str | None, complexity: str | None, refusal: UnknownTokenUse
) -> None:
    with pytest.raises(UnknownTokenUse) as caught:
        token_cost(CATALOGUE, token_type=token_type, feature=feature, complexity=complexity)
    assert caught.value == refusal
    assert refusal.value in str(refusal)


@pytest.mark.parametrize(("token_type", "feature"), [("lead_generation", None), (None, "goal")])
def test_no_use_costs_more_than_any_amount_may_be(token_type: str | None, feature: str | None) -> None:
    with pytest.raises(UnknownTokenUse) as caught:
        token_cost(CATALOGUE, token_type=token_type, feature=feature, quantity=10**12)
    assert caught.value.field == "quantity"


@pytest.mark.parametrize(
    ("price", "off", "monthly", "annual"),
    [(29_000_000, 20, 29_000_000, 278_400_000), (1, 50, 1, 6), (333, 1, 333, 3957), (10, 100, 10, 0), (10, 0, 10, 120)],
)
def test_a_year_is_twelve_cycles_less_the_discount_rounded_up(price: int, off: int, monthly: int, annual: int) -> None:
    """S3-9: annual prepaid discount."""
    terms = PlanPublished(plan="p", version=1, name="P", tokens={}, price=Paid(price, "EUR"), annual_percent_off=off)
    assert price_of(terms, Billing.MONTHLY) == Paid(monthly, "EUR")
    assert price_of(terms, Billing.ANNUAL) == Paid(annual, "EUR")


@pytest.mark.parametrize("billing", Billing)
def test_what_has_no_price_is_not_for_sale(billing: Billing) -> None:
    assert price_of(PlanPublished(plan="p", version=1, name="P", tokens={}), billing) is None
