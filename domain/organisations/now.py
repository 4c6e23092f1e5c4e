"""Questions: an organisation's settings, its plan and its plan tokens, as they are now."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.credits.account import account_of
from domain.credits.address import stream_of
from domain.kernel.work import Work
from domain.organisations.events import Billing
from domain.organisations.state import Organisation, organisation_of
from domain.periods import CYCLE, cycle_at
from domain.plans.state import catalogue_of

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


def organisation_now(work: Work, _question: OrganisationNow) -> Organisation:
    """Settings and plan, defaults included."""
    return organisation_of(work)


def standing_accounts(work: Work, _question: PlanNow) -> tuple[str, ...]:
    """The streams of all accounts that `plan_now` looks at."""
    return (_stream(work, CREDITS), *(_stream(work, f"tokens.{name}") for name in _token_types(work)))


def plan_now(work: Work, _question: PlanNow) -> PlanStanding:
    """Current, due renewals included."""
    organisation, now = organisation_of(work), work.now
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
        tokens={name: _standing(work, f"tokens.{name}", cycle) for name in _token_types(work)},
        credits=_standing(work, CREDITS, cycle),
        used={name: _used(work, f"tokens.{name}") for name in _token_types(work)},
    )


def _token_types(work: Work) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*catalogue_of(work).token_costs, *organisation_of(work).tokens)))


def _standing(work: Work, unit: str, cycle: int) -> UnitStanding:
    account = account_of(work, _stream(work, unit))
    allowance = account.allowance
    return UnitStanding(
        balance=max(0, account.spendable),
        reserved=account.reserved,
        allowance=allowance.amount if allowance else 0,
        allocated=allowance.granted if allowance and allowance.cycle == cycle else 0,
    )


def _used(work: Work, unit: str) -> int:
    account = account_of(work, _stream(work, unit))
    return account.debited - account.refunded


def _stream(work: Work, unit: str) -> str:
    return stream_of(f"org:{work.org}:{unit}")
