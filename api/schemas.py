"""What reads answer, as the OpenAPI document describes it. Amounts are whole credits, times RFC 3339 in UTC."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ProblemDetails(BaseModel):
    """An error (RFC 9457). Codes are an open list: an unknown one means refused. The numbers involved come beside."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Refused",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
}


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


class EventRow(BaseModel):
    """An event as it is stored; personal text stays sealed."""

    position: str
    stream: str
    version: int
    type: str
    tag: str | None = None
    actor: str
    cause: str
    time: datetime
    data: dict[str, Any]
    hash: str


class QuarantineRow(BaseModel):
    """A usage event that could not be applied, with the reason."""

    id: str
    source: str
    event_id: str
    reason: str
    detail: str
    attempts: int
    at: datetime
    tried_at: datetime
    resolved_at: datetime | None = None


class ApiKeyRow(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    role: str
    scopes: list[str] | None = None
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class Quoted(BaseModel):
    """A price without charging. `usd` is a decimal as text."""

    credits: int | None = None
    tokens: int | None = None
    usd: str | None = None
    currency: str | None = None
    item: str
    price_version: int


class Prices(BaseModel):
    """The price book: the version in force (or the one asked for) and what is to come."""

    version: int
    effective_at: datetime | None = None
    entries: list[dict[str, Any]]
    latest: int
    upcoming: list[dict[str, Any]]


class Part(BaseModel):
    """What may be spent and what is held."""

    available: int
    reserved: int


class Myself(BaseModel):
    """The caller and what they have. What this installation does not keep is null."""

    user: dict[str, str]
    credits: Part
    tokens: Part
    storage: dict[str, Any] | None = None
    budget: dict[str, Any] | None = None
    groups: list[dict[str, Any]]
    position: str


class Health(BaseModel):
    """`degraded` with fewer than three issues that leave the service usable, `unhealthy` otherwise."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]


class AuditReport(BaseModel):
    """What was checked, with counts, and the first difference where there is one."""

    model_config = ConfigDict(extra="allow")
    ok: bool


def page_of(row: type[BaseModel]) -> type[BaseModel]:
    """A page of a list."""
    name = f"{row.__name__.removesuffix('Row')}Page"
    fields: dict[str, Any] = {"items": list[row], "next_cursor": str | None}  # type: ignore[valid-type]
    return type(
        name,
        (BaseModel,),
        {"__annotations__": fields, "__doc__": "A page of a list.", "__module__": __name__, "next_cursor": None},
    )
