"""Facts about an organisation."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.settings.setting import Values
from domain.untagged import Untagged

# What organisations could have checked before there were further resources, in the order of their settings.
FIRST_RESOURCES = ("credits", "tokens", "storage", "groups", "budget", "plan")


class OverActual(StrEnum):
    """What happens to actual cost above the hold: it stays uncharged, or is charged from what is available."""

    REFUSE = "refuse"
    AVAILABLE = "available"


class Outcome(StrEnum):
    """How a generation failed."""

    PROVIDER_ERROR = "provider_error"
    INPUT_BLOCKED = "input_blocked"
    OUTPUT_BLOCKED = "output_blocked"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    OTHER = "other"


class Billing(StrEnum):
    """How a plan is paid: cycle by cycle, or twelve cycles in advance."""

    MONTHLY = "monthly"
    ANNUAL = "annual"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationConfigured(Untagged):
    """The settings, all of them, as they are from now on.

    `enforce`: the names of the resources that are checked, of those in `known`, which are all that there were when it
    was set. A resource that came later is checked.
    `settlement_policy`: percent (0 to 100) that is charged by outcome of a failure, of what was used where that is
    reported and priced, else of the hold; 0 where not named.
    `alert_rules`: thresholds by rule where they differ from the defaults. `settings`: what resources declare.
    """

    time_zone: str
    enforce: tuple[str, ...]
    pay_from: tuple[str, ...]
    over_actual: OverActual
    settlement_policy: dict[Outcome, int]
    alert_rules: dict[str, dict[str, int | bool]] = field(default_factory=dict)
    known: tuple[str, ...] = FIRST_RESOURCES
    settings: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChosen(Untagged):
    """The organisation is on this plan, on these terms; later versions of the plan do not change them.

    `tokens`: allowance per token type and cycle, `credits`: per cycle, `storage_limit`: bytes for each user.
    `anchor`: when the first 30-day cycle began, none while there were none. A prepaid plan ends at `paid_until`.
    `settings`: those of the plan that resources declare.
    """

    plan: str
    plan_version: int
    tokens: dict[str, int]
    credits: int
    storage_limit: int | None
    anchor: datetime | None
    billing: Billing = Billing.MONTHLY
    paid_until: datetime | None = None
    settings: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEnded(Untagged):
    """A prepaid plan has run out; the organisation is on the starter plan from now on."""

    plan: str


OrganisationEvent = OrganisationConfigured | PlanChosen | PlanEnded

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "organisation-configured.v1": OrganisationConfigured,
    "plan-chosen.v1": PlanChosen,
    "plan-ended.v1": PlanEnded,
}
