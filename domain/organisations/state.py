"""What decisions need to know of their organisation."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from domain.kernel.work import Work
from domain.organisations.events import (
    FIRST_RESOURCES,
    Billing,
    OrganisationConfigured,
    OrganisationEvent,
    Outcome,
    OverActual,
    PlanChosen,
    PlanEnded,
)
from domain.periods import NEVER, cycle_at, refresh_date
from domain.settings.setting import Values

STREAM = "organisation"
STARTER = "starter"


class Organisation(NamedTuple):
    """Settings and plan; an organisation exists, with these defaults, from its first use (contract)."""

    configured: bool = False
    time_zone: str = "UTC"
    enforce: tuple[str, ...] = FIRST_RESOURCES
    pay_from: tuple[str, ...] = ("user:{user}",)
    over_actual: OverActual = OverActual.REFUSE
    settlement_policy: dict[Outcome, int] = {}  # noqa: RUF012 - never changed in place
    alert_rules: dict[str, dict[str, int | bool]] = {}  # noqa: RUF012 - never changed in place
    plan: str = STARTER
    plan_version: int = 0
    tokens: dict[str, int] = {}  # noqa: RUF012 - never changed in place
    credits: int = 0
    storage_limit: int | None = None
    anchor: datetime | None = None
    billing: Billing = Billing.MONTHLY
    paid_until: datetime | None = None
    known: tuple[str, ...] = FIRST_RESOURCES
    settings: Values = {}  # noqa: RUF012 - never changed in place
    plan_settings: Values = {}  # noqa: RUF012 - never changed in place

    @property
    def next_due(self) -> datetime:
        """When the plan runs out."""
        return self.paid_until or NEVER

    def refresh_date(self, now: datetime) -> datetime | None:
        """When the running 30-day cycle ends (S3); none while no cycle has begun."""
        return refresh_date(self.anchor, cycle_at(self.anchor, now)) if self.anchor else None

    def enforces(self, resource: str) -> bool:
        """Whether the organisation has this resource checked: also where it came after the setting."""
        return resource in self.enforce or resource not in self.known


def evolve(organisation: Organisation, event: OrganisationEvent) -> Organisation:
    """Apply one event."""
    match event:
        case OrganisationConfigured():
            return organisation._replace(
                configured=True,
                time_zone=event.time_zone,
                enforce=event.enforce,
                pay_from=event.pay_from,
                over_actual=event.over_actual,
                settlement_policy=event.settlement_policy,
                alert_rules=event.alert_rules,
                known=event.known,
                settings=event.settings,
            )
        case PlanChosen():
            return organisation._replace(
                plan=event.plan,
                plan_version=event.plan_version,
                tokens=event.tokens,
                credits=event.credits,
                storage_limit=event.storage_limit,
                anchor=event.anchor,
                billing=event.billing,
                paid_until=event.paid_until,
                plan_settings=event.settings,
            )
        case PlanEnded():
            return organisation._replace(
                plan=STARTER, plan_version=0, tokens={}, credits=0, storage_limit=None, billing=Billing.MONTHLY,
                paid_until=None, plan_settings={},
            )  # fmt: skip


def due(
    organisation: Organisation, now: datetime, _most: int = 1, _only: Collection[str] | None = None
) -> tuple[OrganisationEvent, ...]:
    """A prepaid plan ends when what was paid for is over."""
    ended = organisation.paid_until is not None and organisation.paid_until <= now
    return (PlanEnded(plan=organisation.plan),) if ended else ()


def organisation_of(work: Work) -> Organisation:
    """The organisation that decides."""
    organisation: Organisation = work.state(STREAM)
    return organisation
