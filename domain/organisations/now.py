"""Questions: an organisation's settings, its plan and its plan tokens, as they are now."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.execution import View
from domain.organisations.events import Billing
from domain.organisations.state import STREAM, Organisation
from domain.periods import CYCLE, cycle_at
from domain.plans import state as plans
from domain.plans.state import Catalogue

CREDITS = "credits"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationNow:
    """The organisation's settings and plan. The answer is an `Organisation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNow:
    """The organisation's plan, its cycle and what there is of each token type. The answer is a `PlanStanding`."""


class UnitStanding(NamedTuple):
    """Plan tokens of one type, or the organisation's credits.

    `balance` may be spent, `reserved` is held. `allowance` is what the plan grants per cycle, `allocated` what it has
    granted in the running one; after going down in a cycle, `allocated` is still the larger one.
    """

    balance: int
    reserved: int
    allowance: int
    allocated: int


class PlanStanding(NamedTuple):
    """Plan, terms and cycle; cycles count from 0, and `cycle_start` and `refresh_date` are none while there is none."""

    plan: str
    plan_version: int
    billing: Billing
    paid_until: datetime | None
    storage_limit: int | None
    cycle: int
    cycle_start: datetime | None
    refresh_date: datetime | None
    tokens: dict[str, UnitStanding]  # by token type: all that the platform has, and those of the plan
    credits: UnitStanding
    used: dict[str, int]  # by token type: all that was ever charged, less what was refunded


def organisation_now(view: View, _question: OrganisationNow, _now: datetime) -> Organisation:
    """Settings and plan, defaults included."""
    organisation: Organisation = view.state(STREAM)
    return organisation


def standing_accounts(view: View, _question: PlanNow) -> tuple[str, ...]:
    """The streams of all accounts that `plan_now` looks at."""
    return (_stream(view, CREDITS), *(_stream(view, f"tokens.{name}") for name in _token_types(view)))


def plan_now(view: View, _question: PlanNow, now: datetime) -> PlanStanding:
    """Current, due renewals included."""
    organisation: Organisation = view.state(STREAM)
    anchor = organisation.anchor
    cycle = cycle_at(anchor, now) if anchor else 0
    return PlanStanding(
        plan=organisation.plan,
        plan_version=organisation.plan_version,
        billing=organisation.billing,
        paid_until=organisation.paid_until,
        storage_limit=organisation.storage_limit,
        cycle=cycle,
        cycle_start=anchor + cycle * CYCLE if anchor else None,
        refresh_date=organisation.refresh_date(now),
        tokens={name: _standing(view, f"tokens.{name}", cycle) for name in _token_types(view)},
        credits=_standing(view, CREDITS, cycle),
        used={name: _used(view, f"tokens.{name}") for name in _token_types(view)},
    )


def _token_types(view: View) -> tuple[str, ...]:
    catalogue: Catalogue = view.platform(plans.STREAM)
    organisation: Organisation = view.state(STREAM)
    return tuple(dict.fromkeys((*catalogue.token_costs, *organisation.tokens)))


def _standing(view: View, unit: str, cycle: int) -> UnitStanding:
    account: Account = view.state(_stream(view, unit))
    allowance = account.allowance
    return UnitStanding(
        balance=max(0, account.spendable),
        reserved=account.reserved,
        allowance=allowance.amount if allowance else 0,
        allocated=allowance.granted if allowance and allowance.cycle == cycle else 0,
    )


def _used(view: View, unit: str) -> int:
    account: Account = view.state(_stream(view, unit))
    return account.debited - account.refunded


def _stream(view: View, unit: str) -> str:
    return stream_of(f"org:{view.org}:{unit}")
