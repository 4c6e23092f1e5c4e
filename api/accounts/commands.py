"""Commands on accounts: grant, hold, charge, refund, transfer, and their switches."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from api.accounts.answers import CaptureAnswer, account_now, captured, released, reserved
from api.http.caller import Call, Found
from api.http.command import command
from api.http.endpoint import Answer
from api.http.fields import AddressText, Amount, Body, Count, Id, Money, NotedBody, Time, Ttl
from api.http.limits import Begins
from api.http.lists import seen
from api.http.policy import May
from api.http.problems import invalid
from domain.credits.commands import (
    DEFAULT_PRIORITY,
    DEFAULT_TTL_S,
    Capture,
    ConfigureAccount,
    Debit,
    Extend,
    Grant,
    Refund,
    Release,
    Reserve,
    Transfer,
    VoidGrant,
    part_of,
)
from domain.credits.events import (
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsTransferredOut,
    GrantScheduled,
    GrantVoided,
    ReservationExtended,
    Slice,
)
from infra.ids import uuid7
from infra.position import format_position
from infra.writer.submission import Outcome

_TAG = re.compile(r'(?:W/)?"([01])([01])-([0-9]{1,13})"')


class ConfigureBody(Body):
    """What is not given stays as it is. `credit_limit`: credits below zero that a postpaid account may go."""

    frozen: bool | None = None
    closed: bool | None = None
    credit_limit: Count | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change: frozen, closed or credit_limit")
        return self


class ConfigureAnswer(BaseModel):
    """The account's switches as they are now."""

    frozen: bool
    closed: bool
    credit_limit: int
    position: str


def _expected(if_match: str | None) -> tuple[bool, bool, int] | None:
    """The switches that the caller has read, from `If-Match: "00-0"`."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise invalid("If-Match", "must be the ETag of an earlier answer")
    return found[1] == "1", found[2] == "1", int(found[3])


@command(
    "PATCH /api/v1/accounts/{address}",
    May.MANAGE_CREDITS,
    ConfigureAnswer,
    event=AccountConfigured,
    begins=lambda call, _body: Begins("account", call.address),
)
def configure_account(call: Call, body: ConfigureBody, _sealed: str | None) -> Any:
    """Freeze, close or open an account, or set its credit limit."""
    return ConfigureAccount(
        address=call.address,
        frozen=body.frozen,
        closed=body.closed,
        credit_limit=body.credit_limit,
        expected=_expected(call.if_match),
    )


class PaidBody(Money):
    """What was paid for the credits outside Scrip."""


class GrantBody(NotedBody):
    """`priority`: lower burns first. `external_ref`: unique in the organisation, so that a payment grants once."""

    amount: Amount
    source: Literal["purchase", "plan", "promotion", "trial", "gift", "adjustment"]
    priority: Annotated[int, Field(ge=0, le=1000)] = DEFAULT_PRIORITY
    effective_at: Time | None = None
    expires_at: Time | None = None
    external_ref: Id | None = None
    paid: PaidBody | None = None


class GrantAnswer(BaseModel):
    """The grant; `scheduled` until `effective_at`."""

    grant_id: str
    amount: int
    status: Literal["live", "scheduled"]
    effective_at: datetime
    expires_at: datetime | None
    position: str


class VoidBody(NotedBody):
    """Nothing is needed."""


class VoidAnswer(BaseModel):
    """`voided`: what was free of the grant, 0 where nothing was. What comes back to it later is voided then."""

    grant_id: str
    voided: int
    position: str


GRANT_TERMS = """
    select source, priority, expires_at, granted_at from read.grants
    where org = %(org)s and address = %(address)s and id = %(id)s"""


async def _known(call: Call, _body: VoidBody) -> Call:
    """The call with the terms of its grant: from the account while some of it is left, else from the read model.

    The read model must have seen all that the account has, or a grant that was spent just now would be unknown.
    Raises Problem (503).
    """
    account, now = await account_now(call, call.address)
    part = part_of(account, call.id)
    if part is None and call.id not in account.voided_grants:
        await seen(call, format_position(now.position))
        row = await call.row(GRANT_TERMS, address=call.address, id=call.id)
        part = Slice(call.id, 0, **row) if row is not None else None
    return replace(call, found=Found(grant=part))


def _granted(outcome: Outcome) -> Answer:
    scheduled = outcome.all(GrantScheduled)
    grant = scheduled[0][1].grant if scheduled else outcome.one(CreditsGranted).grant
    return {
        "grant_id": grant.grant,
        "amount": grant.amount,
        "status": "scheduled" if scheduled else "live",
        "effective_at": scheduled[0][1].effective_at if scheduled else grant.granted_at,
        "expires_at": grant.expires_at,
    }


def _voided(outcome: Outcome) -> Answer:
    voided = [event.grant for _, event in outcome.all(GrantVoided)]
    return {"grant_id": voided[0].grant, "voided": sum(part.amount for part in voided)}


@command(
    "POST /api/v1/accounts/{address}/grants",
    May.MANAGE_CREDITS,
    GrantAnswer,
    answer=_granted,
    status=201,
    begins=lambda call, _body: Begins("account", call.address),
)
def grant_credits(call: Call, body: GrantBody, sealed: str | None) -> Any:
    """Grant credits, now or for a later time."""
    return Grant(
        address=call.address,
        grant_id=uuid7(),
        amount=body.amount,
        source=body.source,
        priority=body.priority,
        effective_at=body.effective_at,
        expires_at=body.expires_at,
        external_ref=body.external_ref,
        paid=body.paid.paid if body.paid else None,
        sealed=sealed,
    )


@command(
    "POST /api/v1/accounts/{address}/grants/{id}/void", May.MANAGE_CREDITS, VoidAnswer, answer=_voided, look=_known
)
def void_grant(call: Call, _body: VoidBody, sealed: str | None) -> Any:
    """Take back what is left of a grant."""
    return VoidGrant(address=call.address, grant_id=call.id, sealed=sealed, known=call.found.grant)


class ReserveBody(NotedBody):
    """`id`: the caller's own, for example that of a job."""

    amount: Amount
    id: Id | None = None
    ttl_seconds: Ttl = DEFAULT_TTL_S


class ReserveAnswer(BaseModel):
    """The hold; `item` and `price_version` where the price book said what it costs."""

    reservation_id: str
    amount: int
    expires_at: datetime
    item: str | None = None
    price_version: int | None = None
    position: str


class CaptureBody(NotedBody):
    """`amount` none for all that is left; with `final` the rest returns."""

    amount: Amount | None = None
    final: bool = True


class ReleaseBody(NotedBody):
    """Nothing is needed."""


class ReleaseAnswer(BaseModel):
    """`returned`: what was left of the hold."""

    reservation_id: str
    returned: int
    position: str


class ExtendBody(Body):
    """A hold ends `ttl_seconds` from now, never earlier than before; `grow` holds further credits."""

    ttl_seconds: Ttl
    grow: Count = 0


class ExtendAnswer(BaseModel):
    """The hold's new end."""

    reservation_id: str
    expires_at: datetime
    grown: int
    position: str


@command("POST /api/v1/accounts/{address}/reservations", May.SPEND_CREDITS, ReserveAnswer, answer=reserved, status=201)
def reserve_credits(call: Call, body: ReserveBody, sealed: str | None) -> Any:
    """Hold credits before work starts."""
    return Reserve(
        address=call.address,
        reservation_id=body.id or uuid7(),
        amount=body.amount,
        ttl_s=body.ttl_seconds,
        own_id=body.id is not None,
        sealed=sealed,
    )


@command(
    "POST /api/v1/accounts/{address}/reservations/{id}/capture",
    May.SPEND_CREDITS,
    CaptureAnswer,
    answer=captured,
    sized=True,
)
def capture_reservation(call: Call, body: CaptureBody, sealed: str | None) -> Any:
    """Charge held credits when the work has succeeded."""
    return Capture(
        address=call.address,
        reservation_id=call.id,
        debit_id=uuid7(),
        amount=body.amount,
        final=body.final,
        sealed=sealed,
    )


@command("POST /api/v1/accounts/{address}/reservations/{id}/release", May.SPEND_CREDITS, ReleaseAnswer, answer=released)
def release_reservation(call: Call, _body: ReleaseBody, sealed: str | None) -> Any:
    """Return held credits when the work has failed."""
    return Release(address=call.address, reservation_id=call.id, sealed=sealed)


@command(
    "POST /api/v1/accounts/{address}/reservations/{id}/extend",
    May.SPEND_CREDITS,
    ExtendAnswer,
    event=ReservationExtended,
)
def extend_reservation(call: Call, body: ExtendBody, _sealed: str | None) -> Any:
    """Keep a hold alive while the work goes on."""
    return Extend(address=call.address, reservation_id=call.id, ttl_s=body.ttl_seconds, grow=body.grow)


class DebitBody(NotedBody):
    """What is charged."""

    amount: Amount


class DebitAnswer(BaseModel):
    """The debit."""

    debit_id: str
    amount: int
    position: str


class RefundBody(NotedBody):
    """`amount` none for all of the debit that is not yet refunded."""

    amount: Amount | None = None


class RefundAnswer(BaseModel):
    """The refund."""

    refund_id: str
    debit_id: str
    amount: int
    position: str


class TransferBody(NotedBody):
    """`to`: another account of the organisation, of the same unit."""

    to: AddressText
    amount: Amount


class TransferAnswer(BaseModel):
    """The transfer."""

    transfer_id: str
    to: str
    amount: int
    position: str


@command("POST /api/v1/accounts/{address}/debits", May.SPEND_CREDITS, DebitAnswer, event=CreditsDebited, status=201)
def debit_credits(call: Call, body: DebitBody, sealed: str | None) -> Any:
    """Charge credits at once, without a hold."""
    return Debit(address=call.address, debit_id=uuid7(), amount=body.amount, sealed=sealed)


@command(
    "POST /api/v1/accounts/{address}/debits/{id}/refunds",
    May.MANAGE_CREDITS,
    RefundAnswer,
    event=CreditsRefunded,
    status=201,
    sized=True,
)
def refund_debit(call: Call, body: RefundBody, sealed: str | None) -> Any:
    """Give a debit back, whole or in part, to the grants that paid."""
    return Refund(address=call.address, refund_id=uuid7(), debit_id=call.id, amount=body.amount, sealed=sealed)


@command(
    "POST /api/v1/accounts/{address}/transfers",
    May.MANAGE_CREDITS,
    TransferAnswer,
    event=CreditsTransferredOut,
    status=201,
    begins=lambda _call, body: Begins("account", body.to),
)
def transfer_credits(call: Call, body: TransferBody, sealed: str | None) -> Any:
    """Move credits to another account of the organisation."""
    return Transfer(address=call.address, to=body.to, transfer_id=uuid7(), amount=body.amount, sealed=sealed)
