"""What Scrip answers about accounts and about the caller."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
