"""What an organisation is told of its settings and its plan, as they are now."""

from domain.credits.address import stream_of
from domain.credits.commands import Reserve
from domain.kernel.domain import LetTimePass
from domain.organisations.events import Billing
from domain.organisations.now import OrganisationNow, UnitStanding
from domain.organisations.state import Organisation
from tests.domain.organisations.offers import LEADS, TO_PRO, TO_PRO_FOR_A_YEAR, leads, standing
from tests.domain.scenario import NOW, Scenario, after

NOTHING = UnitStanding(0, 0, 0, 0)


def test_an_organisation_exists_from_its_first_use_with_defaults() -> None:
    """Contract: plan starter, time zone UTC, everything enforced, each user pays."""
    assert Scenario().ask(OrganisationNow()) == Organisation()
    told = standing(Scenario())
    assert (told.plan, told.billing, told.cycle, told.cycle_start, told.refresh_date) == (
        "starter",
        Billing.MONTHLY,
        0,
        None,
        None,
    )
    assert set(told.tokens) == {"lead_generation", "goal_generation", "strategy_analysis", "forecast", "general"}
    assert {*told.tokens.values(), told.credits} == {NOTHING}


def test_what_is_held_is_no_balance() -> None:
    """S3-4: per organisation and type balance and allocated this period."""
    scenario = Scenario().done(TO_PRO, Reserve(address=LEADS, reservation_id="r1", amount=20))
    assert standing(scenario).tokens["lead_generation"] == (30, 20, 50, 50)


def test_a_due_renewal_is_told_before_it_is_written() -> None:
    """S3-3: balances reset at the refresh date by themselves, and everyone can see the date."""
    scenario = Scenario().done(TO_PRO).at(after(days=75))
    told = standing(scenario)
    assert (told.cycle, told.cycle_start, told.refresh_date) == (2, after(days=60), after(days=90))
    assert told.tokens["lead_generation"] == (50, 0, 50, 50)
    assert leads(scenario).granted == 50, "nothing was written"
    scenario.done(LetTimePass(stream=stream_of(LEADS)))
    assert standing(scenario) == told


def test_a_prepaid_plan_says_until_when() -> None:
    told = standing(Scenario().done(TO_PRO_FOR_A_YEAR))
    assert (told.billing, told.paid_until, told.cycle_start) == (Billing.ANNUAL, after(days=360), NOW)
