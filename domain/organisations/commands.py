"""The commands on organisations, each with its decision. The tables at the end say what each decision sees."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from domain.credits.address import stream_of
from domain.credits.due import SetAllowance, set_allowance
from domain.ids import ID
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.events import EVENTS, Billing, OrganisationConfigured, Outcome, OverActual, PlanChosen
from domain.organisations.now import OrganisationNow, PlanNow, organisation_now, plan_now, standing_accounts
from domain.organisations.refusals import InvalidSetting, UnknownPlan
from domain.organisations.state import STARTER, STREAM, Organisation, due, evolve, organisation_of
from domain.periods import CYCLE, cycle_at
from domain.plans import state as plans
from domain.plans.events import PlanPublished
from domain.plans.state import catalogue_of
from domain.refusal import StaleVersion
from domain.resources.table import Resources, table
from domain.settings.change import Given, changed, must_be_counted
from domain.settings.setting import Owner

MAX_PAYERS = 5
MAX_ALERT_RULES = 50
MAX_THRESHOLD = 10**12
PAYER = re.compile(rf"user:\{{user\}}|org:\{{org\}}|group:(?!\.{{1,2}}$){ID.pattern}")

AlertRules = dict[str, dict[str, int | bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureOrganisation:
    """What is none stays as it is; what is given replaces the setting as a whole.

    `time_zone`: a name of the IANA database. `enforce`: names of resources, in any number. `pay_from`: 1 to 5 of
    `user:{user}`, `org:{org}` and `group:<id>`, in the order in which they pay. `settlement_policy`: percent (0 to
    100) of the reported use or the hold, by `Outcome`. `alert_rules`: thresholds (0 to 10^12) by rule, at most 50
    rules. `settings`: changes of those that resources declare. `expected`: the settings as the caller has read them,
    where it wants to overwrite only those.
    """

    time_zone: str | None = None
    enforce: tuple[str, ...] | None = None
    pay_from: tuple[str, ...] | None = None
    over_actual: str | None = None
    settlement_policy: dict[str, int] | None = None
    alert_rules: AlertRules | None = None
    settings: Given = field(default_factory=dict)
    expected: OrganisationConfigured | None = None


def settings_of(organisation: Organisation) -> OrganisationConfigured:
    """All settings as they are, defaults included."""
    return OrganisationConfigured(
        time_zone=organisation.time_zone,
        enforce=organisation.enforce,
        pay_from=organisation.pay_from,
        over_actual=organisation.over_actual,
        settlement_policy=organisation.settlement_policy,
        alert_rules=organisation.alert_rules,
        known=organisation.known,
        settings=organisation.settings,
    )


def configure(work: Work, command: ConfigureOrganisation) -> None:
    """The settings, all of them, as they are from now on. Raises StaleVersion, InvalidSetting,
    NotCounted.
    """
    current = settings_of(organisation_of(work))
    if command.expected is not None and command.expected != current:
        raise StaleVersion(what="organisation", current="changed")
    configured = OrganisationConfigured(
        time_zone=current.time_zone if command.time_zone is None else _time_zone(command.time_zone),
        enforce=current.enforce if command.enforce is None else _resources(table(work), command.enforce),
        pay_from=current.pay_from if command.pay_from is None else _payers(command.pay_from),
        over_actual=current.over_actual if command.over_actual is None else _over_actual(command.over_actual),
        settlement_policy=(
            current.settlement_policy
            if command.settlement_policy is None
            else _settlement_policy(command.settlement_policy)
        ),
        alert_rules=current.alert_rules if command.alert_rules is None else _alert_rules(command.alert_rules),
        known=current.known if command.enforce is None else table(work).enforceable,
        settings=changed(work, Owner.ORGANISATION, current.settings, command.settings),
    )
    work.emit(STREAM, configured)


def _time_zone(name: str) -> str:
    """A zone of the IANA database: every client knows it, and it means the same on every machine."""
    if name not in _time_zones():
        near = get_close_matches(name, _time_zones(), 1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise InvalidSetting("time_zone", f"there is no time zone {name}{hint}")
    return name


@cache
def _time_zones() -> frozenset[str]:
    """Without names that are a machine's own (`localtime`) and those of no place (`Factory`, `posixrules`)."""
    return frozenset(name for name in available_timezones() if name[:1].isupper()) - {"Factory"}


def _resources(resources: Resources, names: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of the table, each once."""
    for name in names:
        if name not in resources.enforceable:
            known = ", ".join(resources.enforceable)
            raise InvalidSetting("enforce", f"there is no {name}; known are {known}")
    return tuple(name for name in resources.enforceable if name in names)


def _payers(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(templates) <= MAX_PAYERS:
        raise InvalidSetting("pay_from", f"must name 1 to {MAX_PAYERS} payers", MAX_PAYERS)
    for template in templates:
        if not PAYER.fullmatch(template):
            raise InvalidSetting("pay_from", f"{template} is none of user:{{user}}, org:{{org}}, group:<id>")
    if len(set(templates)) < len(templates):
        raise InvalidSetting("pay_from", "must name each payer once")
    return templates


def _over_actual(name: str) -> OverActual:
    if name not in set(OverActual):
        raise InvalidSetting("over_actual", f"must be one of {', '.join(OverActual)}")
    return OverActual(name)


def _settlement_policy(percents: dict[str, int]) -> dict[Outcome, int]:
    for name, percent in percents.items():
        if name not in set(Outcome):
            raise InvalidSetting("settlement_policy", f"there is no outcome {name}; known are {', '.join(Outcome)}")
        if not 0 <= percent <= 100:
            raise InvalidSetting(f"settlement_policy.{name}", "must be 0 to 100 percent", 100)
    return {outcome: percents[outcome] for outcome in Outcome if outcome in percents}


def _alert_rules(rules: AlertRules) -> AlertRules:
    if len(rules) > MAX_ALERT_RULES:
        raise InvalidSetting("alert_rules", f"at most {MAX_ALERT_RULES} are allowed", MAX_ALERT_RULES)
    for rule, thresholds in rules.items():
        for name, value in thresholds.items():
            if not 0 <= value <= MAX_THRESHOLD:
                raise InvalidSetting(f"alert_rules.{rule}.{name}", "must be 0 to 10^12", MAX_THRESHOLD)
    return rules


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
    return tuple(_account(org, unit) for unit in sorted(units))


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
        set_allowance(work, _account(work.org, unit), change)


def _allowances(tokens: dict[str, int], granted_credits: int) -> dict[str, int]:
    """What a plan grants per cycle, by the unit of the account; nothing where it is 0."""
    units = {f"tokens.{token_type}": amount for token_type, amount in tokens.items()}
    units["credits"] = granted_credits
    return {unit: amount for unit, amount in units.items() if amount}


def _account(org: str, unit: str) -> str:
    return stream_of(f"org:{org}:{unit}")


def _organisation(_command: Any) -> tuple[str, ...]:
    return (STREAM,)


def _plan_accounts(work: Work, command: ChoosePlan) -> tuple[str, ...]:
    return plan_accounts(work.org, organisation_of(work), catalogue_of(work).plans.get(command.plan))


MODULE = Module(
    deciders={
        ConfigureOrganisation: Decider(_organisation, configure),
        ChoosePlan: Decider(_organisation, choose_plan, platform=(plans.STREAM,), streams_from_state=_plan_accounts),
    },
    answerers={
        OrganisationNow: Answerer(_organisation, organisation_now),
        PlanNow: Answerer(_organisation, plan_now, platform=(plans.STREAM,), streams_from_state=standing_accounts),
    },
    kinds={
        STREAM: StreamKind(
            initial=Organisation(),
            evolve=evolve,
            next_due=lambda organisation: organisation.next_due,
            due=due,
            entries=lambda _organisation: 1,
            schema=1,
        ),
    },
    events=EVENTS,
)
