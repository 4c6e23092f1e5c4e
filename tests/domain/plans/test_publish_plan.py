"""Publish a plan, or new terms of one."""

from dataclasses import replace

import pytest

from domain.credits.events import Paid
from domain.plans.events import PlanPublished
from domain.plans.publish import PublishPlan
from domain.plans.refusals import InvalidOffer
from domain.plans.state import Catalogue
from domain.refusal import StaleVersion
from tests.domain.scenario import Scenario

GOLD = PublishPlan(
    plan="gold",
    name="Gold",
    tokens={"forecast": 7, "general": 0},
    credits=100,
    storage_limit=5_000_000,
    price=Paid(1, "EUR"),
    annual_percent_off=100,
)


def test_a_new_plan_is_there_with_all_its_terms() -> None:
    """S3-2: plans are configurable."""
    terms = PlanPublished(
        plan="gold",
        version=1,
        name="Gold",
        tokens={"forecast": 7, "general": 0},
        credits=100,
        storage_limit=5_000_000,
        price=Paid(1, "EUR"),
        annual_percent_off=100,
    )
    scenario = Scenario()
    scenario.when(GOLD).then(("plans", terms))
    assert set(scenario.ledger.state("plans").plans) == {"starter", "pro", "enterprise", "gold"}


def test_versions_count_by_plan() -> None:
    scenario = Scenario().done(GOLD, GOLD, replace(GOLD, plan="starter"))
    plans = scenario.ledger.state("plans").plans
    assert (plans["gold"].version, plans["starter"].version, plans["pro"].version) == (2, 1, 0)


@pytest.mark.parametrize(("plan", "expected", "current"), [("gold", 1, 0), ("pro", 1, 0)])
def test_refuses_terms_that_were_written_against_others(plan: str, expected: int, current: int) -> None:
    command = replace(GOLD, plan=plan, expected=expected)
    Scenario().when(command).then_refused(StaleVersion(what=f"plan {plan}", current=current))
    Scenario().done(replace(command, expected=current))


@pytest.mark.parametrize(
    ("change", "field", "limit"),
    [
        ({"plan": "a b"}, "plan", None),
        ({"plan": ".."}, "plan", None),
        ({"plan": "x" * 256}, "plan", None),
        ({"name": ""}, "name", 255),
        ({"name": "x" * 256}, "name", 255),
        ({"tokens": {"love": 1}}, "tokens.love", None),
        ({"tokens": {"forecast": -1}}, "tokens.forecast", 0),
        ({"tokens": {"forecast": 10**12 + 1}}, "tokens.forecast", 10**12),
        ({"credits": -1}, "credits", 0),
        ({"credits": 10**12 + 1}, "credits", 10**12),
        ({"storage_limit": -1}, "storage_limit", 0),
        ({"price": Paid(0, "EUR")}, "price.amount", 1),
        ({"price": Paid(1, "euro")}, "price.currency", None),
        ({"annual_percent_off": -1}, "annual_percent_off", 0),
        ({"annual_percent_off": 101}, "annual_percent_off", 100),
    ],
)
def test_refuses_a_plan_that_cannot_be_meant(change: dict[str, object], field: str, limit: int | None) -> None:
    decided = Scenario().when(replace(GOLD, **change)).decided  # type: ignore[arg-type]
    assert isinstance(decided.refusal, InvalidOffer)
    assert (decided.refusal.field, decided.refusal.limit) == (field, limit)


def test_there_are_at_most_200_plans() -> None:
    terms = PlanPublished(plan="p", version=1, name="P", tokens={})
    full = Scenario().given_state(Catalogue(plans={f"p{number}": terms for number in range(200)}), of="plans")
    refusal = full.when(GOLD).decided.refusal
    assert refusal == InvalidOffer("plans", "at most 200 are allowed", 200)
    assert str(refusal) == "plans: at most 200 are allowed."
    assert len(full.when(replace(GOLD, plan="p7")).decided.events) == 1
