"""Put the organisation on a plan, and let its 30-day cycles run (S3)."""

import pytest

from domain.credits.commands import Grant
from domain.credits.events import AllowanceSet, GrantExpired, Slice
from domain.kernel.domain import LetTimePass
from domain.organisations import state as organisations
from domain.organisations.commands import ChoosePlan
from domain.organisations.events import Billing, PlanChosen, PlanEnded
from domain.organisations.refusals import InvalidSetting, UnknownPlan
from domain.organisations.state import Organisation
from domain.plans.deduct import DeductTokens
from tests.domain.organisations.offers import (
    CREDITS,
    FORECAST,
    LEADS,
    TO_ENTERPRISE,
    TO_PRO,
    TO_PRO_FOR_A_YEAR,
    TO_STARTER,
    allotted,
    allowance,
    leads,
    offering,
    published,
    standing,
)
from tests.domain.scenario import NOW, Scenario, after

SMALL = published("small", lead_generation=20)
WITH_CREDITS = published("credits", granted=700, storage=5_000_000)
YEAR = after(days=360)


def organisation(scenario: Scenario) -> Organisation:
    state: Organisation = scenario.ledger.state(organisations.STREAM)
    return state


def use(quantity: int, debit: str = "d1") -> DeductTokens:
    return DeductTokens(debit_id=debit, token_type="lead_generation", quantity=quantity)


def test_the_first_plan_starts_the_cycles_and_grants_the_first_at_once() -> None:
    """S3-6: initialise; per type balance, allocated, refresh date."""
    scenario = offering(SMALL, WITH_CREDITS)
    chosen = PlanChosen(
        plan="small", plan_version=1, tokens={"lead_generation": 20}, credits=0, storage_limit=None, anchor=NOW
    )
    scenario.when(ChoosePlan(plan="small")).then(
        ("organisation", chosen),
        (LEADS, allowance("tokens.lead_generation", 20, "small")),
        (LEADS, allotted("tokens.lead_generation", 20)),
    )
    assert standing(scenario).refresh_date == after(days=30)
    assert standing(scenario).tokens["lead_generation"] == (20, 0, 20, 20)


def test_a_plan_may_grant_credits_and_storage() -> None:
    scenario = offering(WITH_CREDITS).done(ChoosePlan(plan="credits"))
    assert scenario.account(CREDITS).available == 700
    assert standing(scenario).storage_limit == 5_000_000
    assert standing(scenario).credits == (700, 0, 700, 700)


def test_every_type_of_the_plan_gets_its_allowance() -> None:
    """S3-2: pro lead_generation 50, goal_generation 20, strategy_analysis 100, forecast 30."""
    scenario = Scenario().done(TO_PRO)
    assert {name: each.balance for name, each in standing(scenario).tokens.items()} == {
        "lead_generation": 50,
        "goal_generation": 20,
        "strategy_analysis": 100,
        "forecast": 30,
        "general": 0,
    }


def test_going_up_grants_the_difference_until_the_same_refresh_date() -> None:
    """S3-6: upgrade plan. What was used stays used."""
    scenario = offering(SMALL).done(ChoosePlan(plan="small"), use(3)).at(after(days=10)).done(TO_PRO)
    assert leads(scenario).available == 20 - 15 + 30
    assert [part.expires_at for part in leads(scenario).grants] == [after(days=30)] * 2
    assert standing(scenario).refresh_date == after(days=30)
    scenario.at(after(days=30)).done(use(1, "d2"))
    assert leads(scenario).available == 50 - 5


def test_going_down_takes_nothing_away_before_the_next_cycle() -> None:
    scenario = offering(SMALL).done(TO_PRO).at(after(days=29)).done(ChoosePlan(plan="small"))
    assert standing(scenario).tokens["lead_generation"] == (50, 0, 20, 50)
    assert standing(scenario).tokens["forecast"] == (30, 0, 0, 30)
    scenario.at(after(days=30))
    assert standing(scenario).tokens["lead_generation"] == (20, 0, 20, 20)
    assert standing(scenario).tokens["forecast"] == (0, 0, 0, 0)


def test_up_down_and_up_again_grants_nothing_twice() -> None:
    scenario = offering(SMALL).done(ChoosePlan(plan="small"), TO_PRO, use(4), ChoosePlan(plan="small"), TO_PRO, TO_PRO)
    assert (leads(scenario).granted, leads(scenario).available) == (50, 30)
    scenario.done(TO_ENTERPRISE, TO_STARTER, TO_ENTERPRISE)
    assert leads(scenario).granted == 500


def test_bought_and_gifted_tokens_stay_whatever_the_plan() -> None:
    gift = Grant(address=LEADS, grant_id="g1", amount=9, source="gift")
    scenario = Scenario().done(gift, TO_PRO, TO_STARTER).at(after(days=30))
    assert standing(scenario).tokens["lead_generation"].balance == 9
    assert standing(scenario).plan == "starter"


def test_a_plan_after_starter_keeps_the_cycles_that_run() -> None:
    """Nobody gets a second first cycle by way of starter."""
    scenario = Scenario().done(TO_PRO).at(after(days=1)).done(TO_STARTER).at(after(days=40)).done(TO_PRO)
    assert organisation(scenario).anchor == NOW
    assert standing(scenario).refresh_date == after(days=60)
    assert leads(scenario).available == 50
    assert leads(scenario).expired == 50


def test_starter_starts_no_cycles() -> None:
    """S3-2: starter 0 of everything (blocked)."""
    scenario = Scenario().done(TO_STARTER)
    assert organisation(scenario).anchor is None
    assert standing(scenario).refresh_date is None
    assert scenario.ledger.log[1:] == []
    assert {each.balance for each in standing(scenario).tokens.values()} == {0}


def test_a_starter_plan_that_grants_something_has_cycles() -> None:
    """S3-2: plans are configurable, starter too."""
    scenario = offering(published("starter", lead_generation=5)).done(TO_STARTER)
    assert leads(scenario).available == 5
    assert standing(scenario).refresh_date == after(days=30)


def test_new_terms_of_a_plan_are_for_who_chooses_it_then() -> None:
    scenario = Scenario().done(TO_PRO).given(published("pro", lead_generation=60), of="plans").at(after(days=30))
    assert standing(scenario).tokens["lead_generation"] == (50, 0, 50, 50)
    scenario.done(TO_PRO)
    assert standing(scenario).tokens["lead_generation"] == (60, 0, 60, 60)
    assert standing(scenario).plan_version == 1


def test_a_prepaid_plan_ends_after_twelve_cycles() -> None:
    """S3-9: annual prepaid. The allowance ends with it, whichever stream is looked at first."""
    scenario = Scenario().done(TO_PRO_FOR_A_YEAR)
    assert organisation(scenario).paid_until == YEAR
    scenario.at(after(-1, days=360)).done(use(1))
    assert leads(scenario).available == 45
    rest = Slice("plan.tokens.lead_generation.11.0", 45, "plan", 50, YEAR, after(-1, days=360))
    scenario.at(YEAR).when(LetTimePass(stream=f"account/{LEADS}")).then(
        due=(
            (LEADS, GrantExpired(grant=rest)),
            (
                LEADS,
                AllowanceSet(id="plan.tokens.lead_generation", plan="pro", amount=0, anchor=NOW, cycle=12, until=YEAR),
            ),
        )
    )
    scenario.when(LetTimePass(stream="organisation")).then(due=(("organisation", PlanEnded(plan="pro")),))
    assert (standing(scenario).plan, standing(scenario).paid_until) == ("starter", None)
    assert leads(scenario).next_due > after(days=10_000)


def test_a_prepaid_plan_that_nobody_looked_at_ends_all_the_same() -> None:
    scenario = Scenario().done(TO_PRO_FOR_A_YEAR).at(after(days=1000))
    assert standing(scenario).plan == "starter"
    assert {each.balance for each in standing(scenario).tokens.values()} == {0}


def test_renewed_early_the_new_year_begins_where_the_old_one_ends() -> None:
    scenario = Scenario().done(TO_PRO_FOR_A_YEAR).at(after(days=345)).done(TO_PRO_FOR_A_YEAR)
    assert organisation(scenario).paid_until == after(days=720)
    assert leads(scenario).granted == 100, "the first cycle and the running one, which counts once"
    scenario.at(after(days=719))
    assert standing(scenario).tokens["lead_generation"].balance == 50


def test_prepaid_in_the_middle_of_a_cycle_counts_that_cycle() -> None:
    scenario = Scenario().done(TO_PRO).at(after(days=45)).done(TO_PRO_FOR_A_YEAR)
    assert organisation(scenario).paid_until == after(days=390)


def test_another_plan_does_not_inherit_what_was_prepaid() -> None:
    enterprise = ChoosePlan(plan="enterprise", billing=Billing.ANNUAL)
    scenario = Scenario().done(TO_PRO_FOR_A_YEAR).at(after(days=31)).done(enterprise)
    assert organisation(scenario).paid_until == after(days=390)
    scenario.done(TO_ENTERPRISE)
    assert organisation(scenario).paid_until is None
    scenario.at(after(days=1000))
    assert standing(scenario).tokens["forecast"].balance == 200


def test_a_prepaid_plan_that_lapsed_comes_back_in_the_same_rhythm() -> None:
    scenario = Scenario().done(TO_PRO_FOR_A_YEAR).at(after(days=365)).done(TO_PRO)
    assert standing(scenario).tokens["lead_generation"] == (50, 0, 50, 50)
    assert standing(scenario).refresh_date == after(days=390)
    scenario.at(after(days=395))
    assert standing(scenario).tokens["lead_generation"] == (50, 0, 50, 50)


def test_there_must_be_such_a_plan() -> None:
    scenario = Scenario()
    scenario.when(ChoosePlan(plan="gold")).then_refused(UnknownPlan("gold", ("starter", "pro", "enterprise")))


def test_starter_cannot_be_prepaid() -> None:
    command = ChoosePlan(plan="starter", billing=Billing.ANNUAL)
    refusal = InvalidSetting("billing", "starter is free and cannot be prepaid")
    Scenario().when(command).then_refused(refusal)
    assert str(refusal) == "billing: starter is free and cannot be prepaid."


@pytest.mark.parametrize("address", [LEADS, FORECAST])
def test_a_plan_is_stored_with_every_account_that_it_changes(address: str) -> None:
    decided = Scenario().when(TO_PRO).decided
    assert f"account/{address}" in {stream for stream, _ in decided.events}
    assert len(decided.events) == 1 + 2 * 4
