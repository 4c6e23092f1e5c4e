"""What calls on accounts answer. Amounts are whole credits, times RFC 3339 in UTC."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.caller import Call
from api.http.endpoint import Answer, shaped
from api.http.lists import csv_bytes
from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.burn import burn_key
from domain.credits.events import CreditsReserved, ReservationCaptured, ReservationReleased
from infra.position import format_position
from infra.writer.submission import Current, Outcome

MAX_GRANTS_SHOWN = 100


class LiveGrant(BaseModel):
    """What is free of one grant."""

    grant_id: str
    amount: int
    source: str
    priority: int
    granted_at: datetime
    expires_at: datetime | None = None


class _Amounts(BaseModel):
    """What every answer about an account has."""

    address: str
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


class Balance(_Amounts):
    """`available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in`.

    `shortfall`: used and not charged, for there was too little; the next grant pays it. `overdrawn`: how far below zero
    a postpaid account is. At most 100 of `grants`, in burn order.
    """

    exists: bool
    grants: list[LiveGrant]
    as_of: datetime


class AccountRow(_Amounts):
    """An account in a list. `shortfall` and `overdrawn` as in its balance."""

    owner_type: str
    owner_id: str
    unit: str
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


class CaptureAnswer(BaseModel):
    """The debit; `returned`: what went back of the hold."""

    debit_id: str
    reservation_id: str
    amount: int
    returned: int
    final: bool
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


def settings_tag(account: Account) -> str:
    """The ETag of an account's switches, which is what PATCH changes."""
    return f'"{account.frozen:d}{account.closed:d}-{account.credit_limit}"'


async def account_now(call: Call, address: str) -> tuple[Account, Current]:
    """The account's state with everything due folded in, and as of when. Raises Problem (503)."""
    stream = stream_of(address)
    current = await call.services.current(call.org, stream)
    account: Account = current.states[stream]
    return account, current


def balance_of(address: str, account: Account, position: int, as_of: datetime) -> Answer:
    """The contract's balance."""
    grants = sorted(account.grants[:MAX_GRANTS_SHOWN], key=burn_key)
    return shaped(
        Balance,
        account,
        address=address,
        overdrawn=max(0, -account.available),
        grants=[shaped(LiveGrant, part, grant_id=part.grant) for part in grants],
        position=format_position(position),
        as_of=as_of,
    )


def transaction_answer(outcome: Outcome) -> Answer:
    """What becomes of a hold of those who act for themselves: it is their transaction."""
    match outcome.all(CreditsReserved, ReservationCaptured, ReservationReleased)[0][1]:
        case CreditsReserved():
            answer = reserved(outcome)
        case ReservationCaptured():
            answer = captured(outcome)
        case _:
            answer = released(outcome)
    answer["transaction_id"] = answer.pop("reservation_id")
    return answer


def reserved(outcome: Outcome) -> Answer:
    """A hold."""
    event = outcome.one(CreditsReserved)
    hold = {"reservation_id": event.reservation_id, "amount": event.amount, "expires_at": event.expires_at}
    return hold if event.item is None else hold | {"item": event.item, "price_version": event.price_version}


def captured(outcome: Outcome) -> Answer:
    """A charge of what was held, and what of the hold returned."""
    event = outcome.one(ReservationCaptured)
    return shaped(CaptureAnswer, event, returned=sum(part.amount for part in event.returned))


def released(outcome: Outcome) -> Answer:
    """What of a hold returned."""
    event = outcome.one(ReservationReleased)
    return {"reservation_id": event.reservation_id, "returned": event.amount}
