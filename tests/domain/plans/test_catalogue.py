"""Every plan, cost and token figure of S3, as an installation starts with them."""

import pytest

from domain.organisations.commands import ChoosePlan
from domain.plans.catalogue import FEATURES, PACKAGES, PLANS, TOKEN_COSTS
from domain.plans.events import Feature, Package
from domain.plans.publish import PublishFeatures, PublishPackages, PublishPlan
from domain.plans.state import Catalogue, token_cost
from tests.domain.organisations.offers import standing
from tests.domain.scenario import Scenario

# S3: lead_generation / goal_generation / strategy_analysis / forecast, per 30-day cycle.
ALLOWANCES = {
    "starter": (0, 0, 0, 0),
    "pro": (50, 20, 100, 30),
    "enterprise": (500, 200, 1000, 200),
}
TYPES = ("lead_generation", "goal_generation", "strategy_analysis", "forecast")


@pytest.mark.parametrize(
    ("token_type", "cost"),
    [("lead_generation", 5), ("goal_generation", 3), ("strategy_analysis", 2), ("forecast", 4), ("general", 1)],
)
def test_what_a_use_of_each_type_costs(token_type: str, cost: int) -> None:
    """S3-1: token types and costs."""
    assert token_cost(Catalogue(), token_type=token_type, feature=None) == (token_type, cost)
    assert TOKEN_COSTS[token_type] == cost


def test_there_are_five_types() -> None:
    """S3-1: five token types."""
    assert set(TOKEN_COSTS) == {*TYPES, "general"}


@pytest.mark.parametrize(("plan", "amounts"), ALLOWANCES.items())
def test_what_each_plan_grants(plan: str, amounts: tuple[int, ...]) -> None:
    """S3-2: plans; `general` has no allowance in any plan."""
    told = standing(Scenario().done(ChoosePlan(plan=plan)))
    assert tuple(told.tokens[token_type].balance for token_type in TYPES) == amounts
    assert told.tokens["general"].balance == 0


@pytest.mark.parametrize(("plan", "total"), [("starter", 0), ("pro", 200), ("enterprise", 1900)])
def test_the_totals_that_the_sources_name_are_sums_over_the_types(plan: str, total: int) -> None:
    """S3-2: each source total, about 200 and about 1900, is the sum over types."""
    (terms,) = (each for each in PLANS if each.plan == plan)
    assert sum(terms.tokens.values()) == total


def test_every_type_has_a_feature() -> None:
    """S3-1: features mapped to token types; each costs what its type does."""
    assert {feature.token_type: feature.cost for feature in FEATURES} == TOKEN_COSTS
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def as_command(plan: str) -> PublishPlan:
    (terms,) = (each for each in PLANS if each.plan == plan)
    return PublishPlan(
        plan=plan,
        name=terms.name,
        tokens=terms.tokens,
        credits=terms.credits,
        storage_limit=terms.storage_limit,
        price=terms.price,
        annual_percent_off=terms.annual_percent_off,
    )


def test_the_catalogue_can_be_published_as_it_is() -> None:
    """What an installation starts with keeps the rules for what may be published."""
    features: tuple[Feature, ...] = FEATURES
    packages: tuple[Package, ...] = PACKAGES
    scenario = Scenario().done(*(as_command(plan) for plan in ALLOWANCES))
    scenario.done(PublishFeatures(features=features, token_costs=TOKEN_COSTS), PublishPackages(packages=packages))
    catalogue: Catalogue = scenario.ledger.state("plans")
    first = Catalogue()
    assert {name: terms.tokens for name, terms in catalogue.plans.items()} == {
        name: terms.tokens for name, terms in first.plans.items()
    }
    assert catalogue[1:3] == first[1:3]
    assert catalogue.packages == first.packages
