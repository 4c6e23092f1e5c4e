"""Publish which features there are, and what a use of each feature and token type costs."""

from dataclasses import replace

import pytest

from domain.credits.events import Paid
from domain.plans.catalogue import TOKEN_COSTS
from domain.plans.events import Feature, FeaturesPublished, Package, PackagesPublished
from domain.plans.publish import PublishFeatures
from domain.plans.refusals import InvalidOffer
from domain.refusal import StaleVersion
from tests.domain.scenario import Scenario

SONG = Feature(name="song", token_type="music", cost=2, complexity={"opera": 10_000}, bulk=((2, 0), (10, 99)))
COSTS = {**TOKEN_COSTS, "music": 9}
COMMAND = PublishFeatures(features=(SONG,), token_costs=COSTS)


def test_features_and_costs_are_replaced_as_a_whole() -> None:
    """S3-1: features map a name to a token type and cost; costs are configurable."""
    scenario = Scenario()
    scenario.when(COMMAND).then(("plans", FeaturesPublished(version=1, features=(SONG,), token_costs=COSTS)))
    assert scenario.ledger.state("plans").features == {"song": SONG}
    scenario.when(replace(COMMAND, expected=1)).then(
        ("plans", FeaturesPublished(version=2, features=(SONG,), token_costs=COSTS))
    )


def test_refuses_a_list_that_was_written_against_an_older_one() -> None:
    refusal = StaleVersion(what="list of features", current=1)
    Scenario().done(COMMAND).when(replace(COMMAND, expected=0)).then_refused(refusal)


def test_a_type_that_a_plan_grants_cannot_go() -> None:
    """Its tokens could be neither used nor counted."""
    costs = {name: cost for name, cost in COSTS.items() if name != "forecast"}
    Scenario().when(replace(COMMAND, token_costs=costs)).then_refused(
        InvalidOffer("token_costs.forecast", "is needed: the plan pro grants such tokens")
    )


def test_a_type_that_a_package_sells_cannot_go() -> None:
    """Somebody would pay for tokens that nothing takes."""
    general = Package(id="more", name="More", unit="tokens.general", amount=5, price=Paid(1_000_000, "USD"))
    costs = {name: cost for name, cost in COSTS.items() if name != "general"}
    scenario = Scenario().given(PackagesPublished(version=1, packages=(general,)), of="plans")
    scenario.when(replace(COMMAND, token_costs=costs)).then_refused(
        InvalidOffer("token_costs.general", "is needed: the package more sells such tokens")
    )
    without_general = {name: cost for name, cost in COSTS.items() if name != "general"}
    Scenario().done(replace(COMMAND, token_costs=without_general))


@pytest.mark.parametrize(
    ("change", "field", "limit"),
    [
        ({"name": "a b"}, "features[0].name", None),
        ({"token_type": "love"}, "features[0].token_type", None),
        ({"cost": 0}, "features[0].cost", 1),
        ({"cost": 10**12 + 1}, "features[0].cost", 10**12),
        ({"complexity": {"": 1}}, "features[0].complexity", None),
        ({"complexity": {"x": 0}}, "features[0].complexity.x", 1),
        ({"complexity": {"x": 10_001}}, "features[0].complexity.x", 10_000),
        ({"complexity": {f"x{number}": 1 for number in range(21)}}, "features[0].complexity", 20),
        ({"bulk": ((0, 5),)}, "features[0].bulk[0].count", 1),
        ({"bulk": ((5, 5), (5, 6))}, "features[0].bulk[1].count", 6),
        ({"bulk": ((5, 100),)}, "features[0].bulk[0].percent_off", 99),
        ({"bulk": ((5, -1),)}, "features[0].bulk[0].percent_off", 0),
        ({"bulk": tuple((number, 1) for number in range(1, 22))}, "features[0].bulk", 20),
    ],
)
def test_refuses_a_feature_that_cannot_be_meant(change: dict[str, object], field: str, limit: int | None) -> None:
    command = replace(COMMAND, features=(replace(SONG, **change),))  # type: ignore[arg-type]
    decided = Scenario().when(command).decided
    assert isinstance(decided.refusal, InvalidOffer)
    assert (decided.refusal.field, decided.refusal.limit) == (field, limit)


@pytest.mark.parametrize(
    ("command", "field", "limit"),
    [
        (replace(COMMAND, features=(SONG, SONG)), "features[1].name", None),
        (replace(COMMAND, features=(SONG,) * 2001), "features", 2000),
        (replace(COMMAND, token_costs={**COSTS, "a:b": 1}), "token_costs", None),
        (replace(COMMAND, token_costs={**COSTS, "music": 0}), "token_costs.music", 1),
        (replace(COMMAND, token_costs={f"t{number}": 1 for number in range(201)}), "token_costs", 200),
    ],
)
def test_refuses_lists_that_cannot_be_meant(command: PublishFeatures, field: str, limit: int | None) -> None:
    decided = Scenario().when(command).decided
    assert isinstance(decided.refusal, InvalidOffer)
    assert (decided.refusal.field, decided.refusal.limit) == (field, limit)
