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


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """What is free of one grant."""

    grant_id: str
    amount: int
    source: str
    priority: int = 0
    granted_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """`available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in`.

    `shortfall`: used and not charged, the next grant pays it. `overdrawn`: how far below zero a postpaid account is.
    """

    address: str
    exists: bool
    available: int
    reserved: int
    granted: int
    debited: int
    refunded: int
    expired: int
    voided: int
    transferred_in: int
    transferred_out: int
    position: str
    shortfall: int = 0
    overdrawn: int = 0
    frozen: bool = False
    closed: bool = False
    credit_limit: int = 0
    grants: tuple[LiveGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant; `scheduled` until `effective_at`."""

    grant_id: str
    amount: int
    status: str
    position: str
    effective_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Voided:
    """What was taken back of a grant."""

    grant_id: str
    voided: int
    position: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """A hold."""

    reservation_id: str
    amount: int
    expires_at: datetime
    position: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The charge of a hold; `returned`: what went back of it."""

    debit_id: str
    reservation_id: str
    amount: int
    returned: int
    final: bool
    position: str


@dataclass(frozen=True, slots=True)
class Released:
    """What was left of a hold and is available again."""

    reservation_id: str
    returned: int
    position: str


@dataclass(frozen=True, slots=True)
class ReservationExtended:
    """A hold's new end."""

    reservation_id: str
    expires_at: datetime
    grown: int
    position: str


@dataclass(frozen=True, slots=True)
class Debited:
    """A charge."""

    debit_id: str
    amount: int
    position: str


@dataclass(frozen=True, slots=True)
class DebitRefunded:
    """What was given back of a charge."""

    refund_id: str
    debit_id: str
    amount: int
    position: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """What was moved to another account."""

    transfer_id: str
    to: str
    amount: int
    position: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold and what has become of it: amount = captured + returned + left."""

    reservation_id: str
    status: str
    amount: int
    captured: int
    returned: int
    left: int
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant and what has become of it."""

    grant_id: str
    source: str
    status: str
    amount: int
    remaining: int
    reserved: int
    spent: int
    granted_at: datetime
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 0
    external_ref: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A movement of available credits; `balance_after` is what was available after it."""

    id: str
    type: str
    amount: int
    balance_after: int
    created_at: datetime
    generation_id: str | None = None
    actor: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Spendable:
    """What may be spent and what is held."""

    available: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Me:
    """The caller and what they have. What an installation does not keep is None."""

    user: dict[str, str]
    credits: Spendable
    tokens: Spendable
    storage: dict[str, Any] | None = None
    budget: dict[str, Any] | None = None
    groups: tuple[dict[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token of role `user` for a browser."""

    token: str
    expires_at: datetime
