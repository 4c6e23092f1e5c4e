"""A monthly budget within its bounds, and the ceiling that an administrator sets (S2)."""

from typing import Any

import pytest

from domain.budgets.commands import SetBudget
from domain.budgets.events import BudgetSet
from domain.budgets.refusals import AboveCeiling, CeilingNotYours, InvalidBudget
from domain.budgets.state import DEFAULT_BUDGET, MAX_BUDGET, MIN_BUDGET
from tests.domain.budgets.facts import ANNA, USD, by_admin, by_user, check, cost, now
from tests.domain.scenario import Scenario


@pytest.mark.parametrize("command", [by_user, by_admin])
@pytest.mark.parametrize("amount", [MIN_BUDGET, 25 * USD, MAX_BUDGET])
def test_s2_a_budget_is_from_1_to_1000_usd(amount: int, command: Any) -> None:
    """S2-1."""
    scenario = Scenario().done(SetBudget(user="anna", monthly=3 * USD, by_user=False))
    scenario.when(command(amount)).then((ANNA, BudgetSet(monthly=amount)))


@pytest.mark.parametrize("command", [by_user, by_admin])
@pytest.mark.parametrize(
    ("amount", "limit", "least"),
    [
        (MIN_BUDGET - 1, MIN_BUDGET, True),
        (0, MIN_BUDGET, True),
        (-5 * USD, MIN_BUDGET, True),
        (MAX_BUDGET + 1, MAX_BUDGET, False),
    ],
)
def test_s2_a_budget_out_of_bounds_is_refused(amount: int, limit: int, command: Any, *, least: bool) -> None:
    """S2-1."""
    refusal = InvalidBudget(field="monthly_budget", limit=limit, least=least)
    Scenario().when(command(amount)).then_refused(refusal)
    assert str(refusal) == f"monthly_budget: must be at {'least $1.00' if least else 'most $1,000.00'}."
    assert refusal.facts() == {"field": "monthly_budget", "limit": limit}


@pytest.mark.parametrize(("amount", "limit", "least"), [(0, MIN_BUDGET, True), (MAX_BUDGET + 1, MAX_BUDGET, False)])
def test_a_ceiling_out_of_bounds_is_refused(amount: int, limit: int, *, least: bool) -> None:
    refusal = InvalidBudget(field="ceiling", limit=limit, least=least)
    Scenario().when(by_admin(ceiling=amount)).then_refused(refusal)


def test_a_user_cannot_raise_the_budget_above_the_ceiling() -> None:
    """S2-7."""
    scenario = Scenario().done(by_admin(ceiling=20 * USD))
    refusal = AboveCeiling(monthly=21 * USD, ceiling=20 * USD)
    scenario.when(by_user(21 * USD)).then_refused(refusal)
    assert str(refusal) == "The budget $21.00 is above the ceiling of $20.00."
    scenario.when(by_user(20 * USD)).then((ANNA, BudgetSet(monthly=20 * USD, ceiling=20 * USD)))


def test_a_user_cannot_change_the_ceiling() -> None:
    scenario = Scenario().done(by_admin(ceiling=20 * USD))
    scenario.when(by_user(5 * USD, ceiling=1000 * USD)).then_refused(CeilingNotYours())
    assert str(CeilingNotYours()) == "ceiling: only an administrator sets it."


def test_an_admin_sets_both() -> None:
    scenario = Scenario()
    scenario.when(by_admin(30 * USD, 50 * USD)).then((ANNA, BudgetSet(monthly=30 * USD, ceiling=50 * USD)))
    scenario.when(by_admin(40 * USD)).then((ANNA, BudgetSet(monthly=40 * USD, ceiling=50 * USD)))
    scenario.when(by_admin(60 * USD)).then_refused(AboveCeiling(monthly=60 * USD, ceiling=50 * USD))
    scenario.when(by_admin(60 * USD, MAX_BUDGET)).then((ANNA, BudgetSet(monthly=60 * USD, ceiling=MAX_BUDGET)))


def test_a_ceiling_below_the_budget_lowers_the_budget_to_it() -> None:
    lowered = (ANNA, BudgetSet(monthly=4 * USD, ceiling=4 * USD))
    Scenario().when(by_admin(ceiling=4 * USD)).then(lowered)
    Scenario().when(by_admin(30 * USD, 4 * USD)).then(lowered)
    assert now(Scenario().done(by_admin(ceiling=50 * USD))).monthly == DEFAULT_BUDGET


def test_a_lower_budget_keeps_what_is_used() -> None:
    scenario = Scenario().done(cost("c1", 9 * USD), by_user(2 * USD))
    assert (now(scenario).used, now(scenario).remaining) == (9 * USD, 0)
    assert not check(scenario, 1).allowed
