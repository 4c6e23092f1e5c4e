"""Short names for plans, and for what the organisation `acme` of the scenarios has of them."""

from datetime import datetime

from domain.credits.account import Account
from domain.credits.events import AllowanceGranted, AllowanceSet, Slice
from domain.organisations.commands import ChoosePlan
from domain.organisations.events import Billing
from domain.organisations.now import PlanNow, PlanStanding
from domain.plans.events import PlanPublished
from domain.plans.state import STREAM
from tests.domain.scenario import NOW, Scenario, after

LEADS = "org:acme:tokens.lead_generation"
FORECAST = "org:acme:tokens.forecast"
CREDITS = "org:acme:credits"

TO_PRO = ChoosePlan(plan="pro")
TO_ENTERPRISE = ChoosePlan(plan="enterprise")
TO_STARTER = ChoosePlan(plan="starter")
TO_PRO_FOR_A_YEAR = ChoosePlan(plan="pro", billing=Billing.ANNUAL)


def published(
    plan: str, version: int = 1, *, granted: int = 0, storage: int | None = None, **tokens: int
) -> PlanPublished:
    """New terms: `granted` credits, and tokens by type."""
    return PlanPublished(plan=plan, version=version, name=plan, tokens=tokens, credits=granted, storage_limit=storage)


def offering(*plans: PlanPublished) -> Scenario:
    """A platform that has published these plans beside the first ones."""
    return Scenario().given(*plans, of=STREAM)


def allowance(unit: str, amount: int, plan: str, *, cycle: int = 0, until: datetime | None = None) -> AllowanceSet:
    """The organisation's account of the unit has this allowance."""
    return AllowanceSet(id=f"plan.{unit}", plan=plan, amount=amount, anchor=NOW, cycle=cycle, until=until)


def allotted(
    unit: str, amount: int, *, cycle: int = 0, before: int = 0, skipped: int = 0, at: datetime = NOW, repaid: int = 0
) -> AllowanceGranted:
    """The plan granted this in the cycle, beside what it had granted there `before`."""
    ends = after(days=30 * (cycle + 1))
    return AllowanceGranted(
        grant=Slice(f"plan.{unit}.{cycle}.{before}", amount, "plan", 50, ends, at),
        cycle=cycle,
        skipped=skipped,
        repaid=repaid,
    )


def standing(scenario: Scenario) -> PlanStanding:
    """What the organisation would be told of its plan."""
    answer: PlanStanding = scenario.ask(PlanNow())
    return answer


def leads(scenario: Scenario) -> Account:
    """The organisation's tokens for leads."""
    return scenario.account(LEADS)
