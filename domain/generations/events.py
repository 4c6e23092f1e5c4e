"""Facts about one generation. What it moves on accounts, storage, groups and budgets is on their streams, same commit.

Credits and tokens are whole, money is integer micro-units, sizes are bytes. `stream` names where a resource is held:
`account/…`, `storage/…`, `group/…`, `budget/…`. `resource` is its name: one of domain/resources/table.py, or one that
only another version of the code has.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from domain.credits.events import Paid
from domain.organisations.events import Outcome
from domain.prices.events import OptionValue
from domain.quotas.events import Amounts
from domain.untagged import Untagged


class Quoted(NamedTuple):
    """What a generation is expected to take; none or 0 where a resource does not apply.

    `plan_tokens` are of `token_type`; `item` and `price_version` are none where no entry of the price book applied.
    """

    credits: int = 0
    tokens: int = 0
    usd: int = 0
    bytes: int = 0
    token_type: str | None = None
    plan_tokens: int = 0
    item: str | None = None
    price_version: int | None = None

    @classmethod
    def of(cls, amounts: Amounts, token_type: str | None, item: str | None, price_version: int | None) -> "Quoted":
        """The amounts, by unit, that have a place here."""
        get = amounts.get
        plan_tokens = get(f"tokens.{token_type}", 0) if token_type else 0
        taken = get("credits", 0), get("tokens", 0), get("usd", 0), get("bytes", 0)
        return cls(*taken, token_type, plan_tokens, item, price_version)

    def amounts(self) -> Amounts:
        """All that it takes, by unit."""
        return {
            "credits": self.credits,
            "tokens": self.tokens,
            "usd": self.usd,
            "bytes": self.bytes,
            f"tokens.{self.token_type}": self.plan_tokens,
        }


_NOTHING = Quoted()


class Held(NamedTuple):
    """What is held of one resource on one stream."""

    resource: str
    stream: str
    amounts: Amounts


class Charge(NamedTuple):
    """What was charged of one resource on one stream; on an account under `debit_id`, in a quota's `period`."""

    resource: str
    stream: str
    amounts: Amounts
    debit_id: str | None = None
    period: str = ""


class ResourceCheck(NamedTuple):
    """What one resource said: what was needed and what there was (none for unlimited); `limit` none for none."""

    resource: str
    ok: bool
    reason: str
    needed: int
    available: int | None
    limit: int | None
    subject: str  # what is counted, and where that matters of which group: `bytes`, `image/g1`


class Content(NamedTuple):
    """A generated object and its size in bytes."""

    id: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Described(Untagged):
    """What was asked for."""

    generation_id: str
    user: str
    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    count: int = 1
    feature: str | None = None
    parent_id: str | None = None
    quote: Quoted = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationHeld(Described):
    """Everything that the generation may take is held until `expires_at`."""

    expires_at: datetime
    holds: tuple[Held, ...]
    sealed: str | None = None  # prompt, reason, metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRefused(Described):
    """Something was short, so nothing was held. `reason` is that of the first of `checks` that failed."""

    reason: str
    checks: tuple[ResourceCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationStarted(Untagged):
    """A worker has begun; from now on it can only be settled, not cancelled."""

    generation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationExtended(Untagged):
    """It takes longer, and where it costs more, `grown` further amounts are held (`holds`: all of it as it is now)."""

    generation_id: str
    expires_at: datetime
    holds: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Untagged):
    """The result of a settlement. `uncharged`: unpaid cost above the hold; `shortfall`: what is owed, by unit.

    `usage`: measured units as the worker reported them, whether they were charged or not.
    """

    generation_id: str
    user: str
    charges: tuple[Charge, ...]
    returned: Amounts = field(default_factory=dict)  # by unit: credits, tokens, tokens.{type}, usd, image, video
    uncharged: Amounts = field(default_factory=dict)
    shortfall: Amounts = field(default_factory=dict)
    usd: int = 0  # actually spent
    succeeded: int | None = None
    contents: tuple[Content, ...] = ()
    provider_cost: Paid | None = None
    generation_time_ms: int | None = None
    sealed: str | None = None  # error message, URLs
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPartCompleted(Settled):
    """A part succeeded and is paid for; `holds` is what is still held for the rest."""

    holds: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCompleted(Settled):
    """It succeeded; what was held above the charges went back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettledLate(Settled):
    """A worker completed it after it had expired: charged up to the former hold from what was available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFailed(Settled):
    """It failed; everything went back but what the organisation's settlement policy charges for this outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCancelled(Untagged):
    """It was called off before a worker began; everything went back."""

    generation_id: str
    sealed: str | None = None  # the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationExpired(Untagged):
    """It was never settled; everything went back."""

    generation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRefunded(Untagged):
    """Charges were undone, whole or in part: `returned` names each with what of it came back.

    `written_off`: what was used and never charged, by account; it will not be collected any more.
    """

    generation_id: str
    refund_id: str
    returned: tuple[Charge, ...]
    contents: tuple[str, ...] = ()  # the objects that were refunded, where they were named
    sealed: str | None = None  # the reason
    written_off: tuple[Charge, ...] = ()


GenerationEvent = (
    GenerationHeld
    | GenerationRefused
    | GenerationStarted
    | GenerationExtended
    | GenerationPartCompleted
    | GenerationCompleted
    | GenerationSettledLate
    | GenerationFailed
    | GenerationCancelled
    | GenerationExpired
    | GenerationRefunded
)

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "generation-held.v1": GenerationHeld,
    "generation-refused.v1": GenerationRefused,
    "generation-started.v1": GenerationStarted,
    "generation-extended.v1": GenerationExtended,
    "generation-part-completed.v1": GenerationPartCompleted,
    "generation-completed.v1": GenerationCompleted,
    "generation-settled-late.v1": GenerationSettledLate,
    "generation-failed.v1": GenerationFailed,
    "generation-cancelled.v1": GenerationCancelled,
    "generation-expired.v1": GenerationExpired,
    "generation-refunded.v1": GenerationRefunded,
}
