"""What calls on accounts answer. Amounts are whole credits, times RFC 3339 in UTC."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.endpoint import Answer
from api.http.lists import csv_bytes
from domain.credits.events import (
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredOut,
    GrantScheduled,
    GrantVoided,
    ReservationCaptured,
    ReservationExtended,
    ReservationReleased,
)
from domain.prices.events import PricesPublished
from infra.position import format_position
from infra.writer.submission import Outcome


class LiveGrant(BaseModel):
    """What is free of one grant."""

    grant_id: str
    amount: int
    source: str
    priority: int
    granted_at: datetime
    expires_at: datetime | None = None


class Balance(BaseModel):
    """`available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in`.

    `shortfall`: used and not charged, for there was too little; the next grant pays it. `overdrawn`: how far below zero
    a postpaid account is. At most 100 of `grants`, in burn order.
    """

    address: str
    exists: bool
    granted: int
    debited: int
    refunded: int
    expired: int
    voided: int
    transferred_in: int
    transferred_out: int
    reserved: int
    available: int
    shortfall: int
    overdrawn: int
    frozen: bool
    closed: bool
    credit_limit: int
    grants: list[LiveGrant]
    position: str
    as_of: datetime


class AccountRow(BaseModel):
    """An account in a list. `shortfall` and `overdrawn` as in its balance."""

    address: str
    owner_type: str
    owner_id: str
    unit: str
    granted: int
    debited: int
    refunded: int
    expired: int
    voided: int
    transferred_in: int
    transferred_out: int
    reserved: int
    available: int
    shortfall: int
    overdrawn: int
    frozen: bool
    closed: bool
    credit_limit: int
    position: str
    updated_at: datetime


class GrantRow(BaseModel):
    """A grant and what has become of it."""

    grant_id: str
    source: str
    priority: int
    status: Literal["scheduled", "live", "spent", "expired", "voided"]
    amount: int
    remaining: int
    reserved: int
    spent: int
    expired: int
    voided: int
    transferred_out: int
    granted_at: datetime
    effective_at: datetime
    expires_at: datetime | None = None
    external_ref: str | None = None
    paid: dict[str, str] | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    position: str


class ReservationRow(BaseModel):
    """A hold and what has become of it: amount = captured + returned + left."""

    reservation_id: str
    status: Literal["held", "captured", "released", "expired"]
    amount: int
    captured: int
    returned: int
    left: int
    expires_at: datetime
    item: str | None = None
    price_version: int | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime
    ended_at: datetime | None = None
    position: str


class DebitRow(BaseModel):
    """A charge and how much of it was given back."""

    debit_id: str
    amount: int
    refunded: int
    reservation_id: str | None = None
    item: str | None = None
    price_version: int | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime
    position: str


class TransactionRow(BaseModel):
    """A movement of available credits; `balance_after` is what was available after it."""

    id: str
    type: str
    amount: int
    balance_after: int
    generation_id: str | None = None
    grant_id: str | None = None
    reservation_id: str | None = None
    debit_id: str | None = None
    refund_id: str | None = None
    transfer_id: str | None = None
    counterparty: str | None = None
    item: str | None = None
    actor: str
    reason: str | None = None
    created_at: datetime
    position: str


class Statement(BaseModel):
    """What was available at `from`, every movement until `to`, and what was available then."""

    model_config = ConfigDict(populate_by_name=True)
    address: str
    from_: datetime | None = Field(None, alias="from")
    to: datetime
    opening: int
    closing: int
    movements: list[TransactionRow]


COLUMNS = ("created_at", "type", "amount", "balance_after", "item", "reason", "actor", "id")


def as_csv(statement: dict[str, Any], *, bom: bool = False) -> bytes:
    """Opening, movements and closing, one row each. Text that a spreadsheet would take for a formula is quoted."""
    opening = [time_text(statement["from"]), "opening", "", statement["opening"], "", "", "", ""]
    movements = [[_cell(row[name]) for name in COLUMNS] for row in statement["movements"]]
    closing = [time_text(statement["to"]), "closing", "", statement["closing"], "", "", "", ""]
    return csv_bytes(COLUMNS, [opening, *movements, closing], bom=bom)


def _cell(value: Any) -> str | int:
    return value if isinstance(value, int) else shown(value)


def shown(value: Any) -> str:
    """A value of a movement as people read it."""
    return time_text(value) if isinstance(value, datetime) else "" if value is None else str(value)


def time_text(value: datetime | None) -> str:
    """A moment in UTC to the second; nothing for none."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value else ""


def answer(outcome: Outcome) -> Answer:
    """The JSON object for the event that the command was about."""
    event = _about(outcome)
    made = _ANSWERS[type(event)]
    told = {name: getattr(event, name) for name in made} if isinstance(made, tuple) else made(event, outcome)
    told["position"] = format_position(outcome.position)
    return told


def _about(outcome: Outcome) -> Any:
    """The event that the command is for. That a grant is void may also follow from another, and then is not it."""
    for _, event in outcome.events:
        if type(event) in _ANSWERS and not isinstance(event, GrantVoided):
            return event
    return outcome.one(GrantVoided)


def transaction_answer(outcome: Outcome) -> Answer:
    """The same for those who act for themselves: a hold is their transaction."""
    told = answer(outcome)
    told["transaction_id"] = told.pop("reservation_id")
    return told


def _reserved(event: CreditsReserved, _outcome: Outcome) -> Answer:
    told: Answer = {"reservation_id": event.reservation_id, "amount": event.amount, "expires_at": event.expires_at}
    if event.item is not None:
        told |= {"item": event.item, "price_version": event.price_version}
    return told


def _captured(event: ReservationCaptured, _outcome: Outcome) -> Answer:
    return {
        "debit_id": event.debit_id,
        "reservation_id": event.reservation_id,
        "amount": event.amount,
        "returned": sum(part.amount for part in event.returned),
        "final": event.final,
    }


def _released(event: ReservationReleased, _outcome: Outcome) -> Answer:
    return {"reservation_id": event.reservation_id, "returned": event.amount}


def _granted(event: CreditsGranted, _outcome: Outcome) -> Answer:
    grant = event.grant
    return {
        "grant_id": grant.grant,
        "amount": grant.amount,
        "status": "live",
        "effective_at": grant.granted_at,
        "expires_at": grant.expires_at,
    }


def _scheduled(event: GrantScheduled, _outcome: Outcome) -> Answer:
    grant = event.grant
    return {
        "grant_id": grant.grant,
        "amount": grant.amount,
        "status": "scheduled",
        "effective_at": event.effective_at,
        "expires_at": grant.expires_at,
    }


def _voided(event: GrantVoided, outcome: Outcome) -> Answer:
    return {
        "grant_id": event.grant.grant,
        "voided": sum(part.grant.amount for _, part in outcome.all(GrantVoided)),
    }


# Of an event whose fields are the answer, their names; else what makes the answer.
_ANSWERS: dict[type, Callable[[Any, Outcome], Answer] | tuple[str, ...]] = {
    CreditsReserved: _reserved,
    ReservationCaptured: _captured,
    ReservationReleased: _released,
    ReservationExtended: ("reservation_id", "expires_at", "grown"),
    CreditsDebited: ("debit_id", "amount"),
    CreditsRefunded: ("refund_id", "debit_id", "amount"),
    CreditsGranted: _granted,
    GrantScheduled: _scheduled,
    GrantVoided: _voided,
    CreditsTransferredOut: ("transfer_id", "to", "amount"),
    AccountConfigured: ("frozen", "closed", "credit_limit"),
    PricesPublished: ("version", "effective_at"),
}
