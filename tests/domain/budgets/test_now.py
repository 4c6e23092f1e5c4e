"""Where a budget stands, and whether an expected cost still fits (S2)."""

import pytest

from domain.budgets.commands import MAX_COST, BudgetCheck, BudgetUse
from domain.budgets.refusals import InvalidCost
from domain.quotas.events import UseHeld
from domain.refusal import Refusal
from tests.domain.budgets.facts import ANNA, MARCH, USD, check, cost, now
from tests.domain.scenario import Scenario, after


def test_s2_a_user_without_a_budget_gets_the_default_at_first_look() -> None:
    """S2-1."""
    assert now(Scenario()) == BudgetUse(
        monthly=10 * USD, ceiling=None, used=0, held=0, remaining=10 * USD, period=MARCH
    )


@pytest.mark.parametrize(
    ("expected", "allowed"), [(0, True), (999_999, True), (1_000_000, True), (1_000_001, False), (MAX_COST, False)]
)
def test_s2_an_expected_cost_is_allowed_or_not_with_a_reason(expected: int, *, allowed: bool) -> None:
    """S2-3: exactly enough passes."""
    scenario = Scenario().done(cost("c1", 9 * USD))
    reason = "ok" if allowed else "budget_exceeded"
    assert check(scenario, expected) == BudgetCheck(allowed, reason, 1 * USD)


@pytest.mark.parametrize("expected", [-1, MAX_COST + 1])
def test_s2_an_expected_cost_that_cannot_be_is_refused(expected: int) -> None:
    with pytest.raises(Refusal) as refused:
        check(Scenario(), expected)
    assert refused.value == InvalidCost(field="expected_cost", limit=MAX_COST)


def test_what_is_held_cannot_be_spent_until_it_ends() -> None:
    held = UseHeld(generation_id="j1", amounts={"usd": 4 * USD}, expires_at=after(60))
    scenario = Scenario().done(cost("c1", 5 * USD)).given(held, of=ANNA)
    use = now(scenario)
    assert (use.used, use.held, use.remaining) == (5 * USD, 4 * USD, 1 * USD)
    assert not check(scenario, 2 * USD).allowed
    assert check(scenario.at(after(60)), 5 * USD) == BudgetCheck(allowed=True, reason="ok", remaining=5 * USD)
