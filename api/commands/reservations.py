"""Hold credits, charge or return what is held, and keep a hold alive."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.fields import Amount, Body, Count, Id, Metadata, Text, Ttl
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
from domain.credits.capture import Capture
from domain.credits.extend import Extend
from domain.credits.release import Release
from domain.credits.reserve import DEFAULT_TTL_S, Reserve
from infra.ids import uuid7


class ReserveBody(Body):
    """`id`: the caller's own, for example that of a job."""

    amount: Amount
    id: Id | None = None
    ttl_seconds: Ttl = DEFAULT_TTL_S
    reason: Text | None = None
    metadata: Metadata | None = None


class ReserveAnswer(BaseModel):
    """The hold; `item` and `price_version` where the price book said what it costs."""

    reservation_id: str
    amount: int
    expires_at: datetime
    item: str | None = None
    price_version: int | None = None
    position: str


class CaptureBody(Body):
    """`amount` none for all that is left; with `final` the rest returns."""

    amount: Amount | None = None
    final: bool = True
    reason: Text | None = None
    metadata: Metadata | None = None


class CaptureAnswer(BaseModel):
    """The debit; `returned`: what went back of the hold."""

    debit_id: str
    reservation_id: str
    amount: int
    returned: int
    final: bool
    position: str


class ReleaseBody(Body):
    """Nothing is needed."""

    reason: Text | None = None
    metadata: Metadata | None = None


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


PATH = "/api/v1/accounts/{address}/reservations"


@command("POST /api/v1/accounts/{address}/reservations", May.SPEND_CREDITS, ReserveAnswer, status=201)
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


@command("POST /api/v1/accounts/{address}/reservations/{id}/capture", May.SPEND_CREDITS, CaptureAnswer, sized=True)
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


@command("POST /api/v1/accounts/{address}/reservations/{id}/release", May.SPEND_CREDITS, ReleaseAnswer)
def release_reservation(call: Call, _body: ReleaseBody, sealed: str | None) -> Any:
    """Return held credits when the work has failed."""
    return Release(address=call.address, reservation_id=call.id, sealed=sealed)


@command("POST /api/v1/accounts/{address}/reservations/{id}/extend", May.SPEND_CREDITS, ExtendAnswer)
def extend_reservation(call: Call, body: ExtendBody, _sealed: str | None) -> Any:
    """Keep a hold alive while the work goes on."""
    return Extend(address=call.address, reservation_id=call.id, ttl_s=body.ttl_seconds, grow=body.grow)
