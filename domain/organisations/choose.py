"""Put the organisation on a plan."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.address import stream_of
from domain.credits.allowance import SetAllowance, set_allowance
from domain.kernel.work import Work
from domain.organisations.events import Billing, PlanChosen
from domain.organisations.refusals import InvalidSetting, UnknownPlan
from domain.organisations.state import STARTER, STREAM, Organisation, organisation_of
from domain.periods import CYCLE, cycle_at
from domain.plans.events import PlanPublished
from domain.plans.state import catalogue_of
from domain.settings.change import must_be_counted
from domain.settings.setting import Owner

ANNUAL_CYCLES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosePlan:
    """Be on `plan` from now on, on the terms that it has now (docs/decisions/0008).

    30-day cycles are counted from the first plan that is more than starter, and every later choice keeps them. Going
    up grants the running cycle's difference at once, to end with it. Going down takes nothing away; the smaller
    allowance begins with the next cycle. Up, down and up again grants nothing twice. Bought and gifted tokens stay.

    `annual`: twelve cycles, the running one included, are prepaid, added to what the same plan is prepaid for already;
    then the organisation is on starter. `monthly` goes on until another choice: who pays for it is not Scrip's matter.
    """

    plan: str
    billing: Billing = Billing.MONTHLY


def choose_plan(work: Work, command: ChoosePlan) -> None:
    """In force at once. Raises UnknownPlan, NotCounted; InvalidSetting where starter should be prepaid."""
    catalogue = catalogue_of(work)
    terms = catalogue.plans.get(command.plan)
    if terms is None:
        raise UnknownPlan(command.plan, tuple(catalogue.plans))
    if terms.plan == STARTER and command.billing is Billing.ANNUAL:
        raise InvalidSetting("billing", "starter is free and cannot be prepaid")
    cycles = ANNUAL_CYCLES if command.billing is Billing.ANNUAL else None
    take_effect(work, on_terms(organisation_of(work), terms, command.billing, cycles, work.now))


def on_terms(
    organisation: Organisation, terms: PlanPublished, billing: Billing, cycles: int | None, now: datetime
) -> PlanChosen:
    """The choice of a plan on these terms, prepaid for `cycles` of 30 days, or none for as long as it is wanted."""
    anchor = organisation.anchor
    if anchor is None and (terms.plan != STARTER or terms.credits or any(terms.tokens.values())):
        anchor = now
    paid_until = None
    if cycles is not None and anchor is not None:
        running = anchor + cycle_at(anchor, now) * CYCLE
        prepaid = organisation.paid_until if organisation.plan == terms.plan else None
        paid_until = (prepaid or running) + cycles * CYCLE
    return PlanChosen(
        plan=terms.plan,
        plan_version=terms.version,
        tokens=terms.tokens,
        credits=terms.credits,
        storage_limit=terms.storage_limit,
        anchor=anchor,
        billing=billing,
        paid_until=paid_until,
        settings=terms.settings,
    )


def plan_accounts(org: str, organisation: Organisation, terms: PlanPublished | None) -> tuple[str, ...]:
    """The streams of the accounts that have an allowance by the organisation's plan or would get one by `terms`."""
    units = _allowances(organisation.tokens, organisation.credits)
    if terms is not None:
        units |= _allowances(terms.tokens, terms.credits)
    return tuple(_stream(org, unit) for unit in sorted(units))


def take_effect(work: Work, chosen: PlanChosen) -> None:
    """The choice, and what it changes on each of `plan_accounts`: also where only the plan before allowed something.

    Raises NotCounted.
    """
    must_be_counted(work, Owner.PLAN, chosen.settings)
    before = organisation_of(work)
    work.emit(STREAM, chosen)
    allowed = _allowances(chosen.tokens, chosen.credits)
    for unit in sorted(allowed.keys() | _allowances(before.tokens, before.credits).keys()):
        if chosen.anchor is None:
            continue  # nothing was ever allowed
        change = SetAllowance(
            id=f"plan.{unit}",
            plan=chosen.plan,
            amount=allowed.get(unit, 0),
            anchor=chosen.anchor,
            until=chosen.paid_until,
        )
        set_allowance(work, _stream(work.org, unit), change)


def _allowances(tokens: dict[str, int], granted_credits: int) -> dict[str, int]:
    """What a plan grants per cycle, by the unit of the account; nothing where it is 0."""
    units = {f"tokens.{token_type}": amount for token_type, amount in tokens.items()}
    units["credits"] = granted_credits
    return {unit: amount for unit, amount in units.items() if amount}


def _stream(org: str, unit: str) -> str:
    return stream_of(f"org:{org}:{unit}")
