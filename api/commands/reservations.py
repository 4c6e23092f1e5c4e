"""Hold credits, charge or return what is held, and keep a hold alive."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.fields import Amount, Body, Count, Id, Metadata, Text, Ttl
from api.operation import Call, Operation
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


def _reserve(call: Call, body: ReserveBody, sealed: str | None) -> Any:
    return Reserve(
        address=call.address,
        reservation_id=body.id or uuid7(),
        amount=body.amount,
        ttl_s=body.ttl_seconds,
        own_id=body.id is not None,
        sealed=sealed,
    )


def _capture(call: Call, body: CaptureBody, sealed: str | None) -> Any:
    return Capture(
        address=call.address,
        reservation_id=call.id,
        debit_id=uuid7(),
        amount=body.amount,
        final=body.final,
        sealed=sealed,
    )


def _release(call: Call, _body: ReleaseBody, sealed: str | None) -> Any:
    return Release(address=call.address, reservation_id=call.id, sealed=sealed)


def _extend(call: Call, body: ExtendBody, _sealed: str | None) -> Any:
    return Extend(address=call.address, reservation_id=call.id, ttl_s=body.ttl_seconds, grow=body.grow)


PATH = "/api/v1/accounts/{address}/reservations"

RESERVE = Operation(
    name="reserve_credits",
    path=PATH,
    summary="Hold credits before work starts",
    body=ReserveBody,
    answers=ReserveAnswer,
    build=_reserve,
    status=201,
)
CAPTURE = Operation(
    name="capture_reservation",
    path=PATH + "/{id}/capture",
    summary="Charge held credits when the work has succeeded",
    body=CaptureBody,
    answers=CaptureAnswer,
    build=_capture,
    sized=True,
)
RELEASE = Operation(
    name="release_reservation",
    path=PATH + "/{id}/release",
    summary="Return held credits when the work has failed",
    body=ReleaseBody,
    answers=ReleaseAnswer,
    build=_release,
)
EXTEND = Operation(
    name="extend_reservation",
    path=PATH + "/{id}/extend",
    summary="Keep a hold alive while the work goes on",
    body=ExtendBody,
    answers=ExtendAnswer,
    build=_extend,
)
