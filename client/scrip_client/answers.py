"""What Scrip answers, as frozen dataclasses. Credits and tokens are whole, sizes bytes, money is a Decimal."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

Amount = int | Decimal  # of credits, tokens, bytes or pieces a whole number; of money a Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """What a generation is expected to take; 0 of what does not apply. `plan_tokens` are of `token_type`."""

    credits: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)
    bytes: int = 0
    plan_tokens: int = 0
    token_type: str | None = None
    currency: str = "USD"
    item: str | None = None
    price_version: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """A price without charging; None of what it does not cost."""

    item: str
    price_version: int
    credits: int | None = None
    tokens: int | None = None
    usd: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One resource's answer. `available` and `limit` are None for unlimited; `formatted`: the numbers for people."""

    resource: str
    ok: bool
    reason: str
    needed: Amount = 0
    available: Amount | None = None
    limit: Amount | None = None
    deficit: Amount = 0
    message: str = ""
    subject: str | None = None
    currency: str | None = None
    formatted: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Priced options that would run now."""

    label: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    credits: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Action:
    """A way out for the person who was refused."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """May it run? `tokens_needed` and `storage_needed` (bytes) are what is missing."""

    can_proceed: bool
    reason: str
    tokens_needed: int = 0
    storage_needed: int = 0
    current_tokens: int = 0
    current_storage: int = 0
    storage_limit: int = 0
    storage_percent: float = 0.0
    quote: Quote = field(default_factory=Quote)
    checks: tuple[Check, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one resource: on an account, for a user (storage, budget) or in a group."""

    resource: str
    unit: str
    amount: Amount
    account: str | None = None
    user: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A generation that may run, and what is held for it until `expires_at`."""

    generation_id: str
    status: str
    quote: Quote
    holds: tuple[Held, ...]
    expires_at: datetime
    position: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Where a generation stands; `returned`: what went back, by unit."""

    generation_id: str
    status: str
    position: str
    returned: dict[str, Amount] | None = None


@dataclass(frozen=True, slots=True)
class Extended:
    """The new end of a generation's holds, and all that is held now."""

    generation_id: str
    expires_at: datetime
    holds: tuple[Held, ...]
    position: str


@dataclass(frozen=True, slots=True)
class Charged:
    """What was charged or given back."""

    credits: int = 0
    tokens: int = 0
    plan_tokens: int = 0
    usd: Decimal = Decimal(0)
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an outcome came to: what was charged, and by unit what went back.

    `uncharged`: cost above the hold that nobody paid; `shortfall`: what is owed; `contents`: the ids of what is stored.
    `usage`: measured units as they were reported.
    """

    generation_id: str
    status: str
    charged: Charged
    returned: dict[str, Amount]
    position: str
    outcome: str | None = None
    uncharged: dict[str, Amount] = field(default_factory=dict)
    shortfall: dict[str, Amount] = field(default_factory=dict)
    contents: tuple[str, ...] = ()
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationRefunded:
    """What came back of a generation, by unit. `written_off`: what was never charged and is no longer owed."""

    generation_id: str
    refund_id: str
    returned: dict[str, Amount]
    position: str
    contents: tuple[str, ...] = ()
    written_off: dict[str, Amount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount outside Scrip."""

    amount: Decimal
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Content:
    """A stored object, its size in bytes."""

    content_id: str
    user_id: str
    bytes: int
    created_at: datetime
    generation_id: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationState:
    """A generation and what has become of it. `refusal`: the reason of one that was refused."""

    generation_id: str
    user_id: str
    operation: str
    status: str
    created_at: datetime
    position: str
    parent_id: str | None = None
    provider: str | None = None
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    count: int = 1
    feature: str | None = None
    refusal: str | None = None
    outcome: str | None = None
    quote: Quote = field(default_factory=Quote)
    holds: tuple[Held, ...] = ()
    charged: Charged = field(default_factory=Charged)
    refunded: Charged = field(default_factory=Charged)
    uncharged: dict[str, Amount] = field(default_factory=dict)
    shortfall: dict[str, Amount] = field(default_factory=dict)
    succeeded: int = 0
    content_bytes: int = 0
    provider_cost: Money | None = None
    generation_time_ms: int | None = None
    prompt: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    stored: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to a generation, in words."""

    at: datetime
    type: str
    text: str
    actor: str = ""
    position: str = ""


@dataclass(frozen=True, slots=True)
class PaidFrom:
    """A grant that a part of a hold or charge is of; a hold has no debit yet."""

    account: str
    source: str
    amount: int
    grant_id: str | None = None
    debit_id: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a generation was allowed or refused, which grants paid, and what has happened since."""

    generation_id: str
    user_id: str
    operation: str
    status: str
    allowed: bool
    reason: str
    decision: str
    quote: Quote = field(default_factory=Quote)
    checks: tuple[Check, ...] = ()
    holds: tuple[Held, ...] = ()
    held_from: tuple[PaidFrom, ...] = ()
    paid_by: tuple[PaidFrom, ...] = ()
    history: tuple[Happened, ...] = ()
