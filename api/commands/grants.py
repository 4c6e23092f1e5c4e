"""Grant credits and take back what is left of a grant."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.current import account_now
from api.fields import Amount, Body, Currency, Id, Metadata, Text, Time, Usd
from api.http.caller import Call, Found
from api.http.command import command
from api.http.policy import May
from api.reading import seen
from api.streams_room import Begins
from domain.credits.events import Paid, Slice
from domain.credits.grant import DEFAULT_PRIORITY, Grant
from domain.credits.void import VoidGrant, part_of
from domain.money import micros
from infra.ids import uuid7
from infra.position import format_position


class PaidBody(Body):
    """What was paid for the credits outside Scrip."""

    amount: Usd
    currency: Currency = "USD"


class GrantBody(Body):
    """`priority`: lower burns first. `external_ref`: unique in the organisation, so that a payment grants once."""

    amount: Amount
    source: Literal["purchase", "plan", "promotion", "trial", "gift", "adjustment"]
    priority: Annotated[int, Field(ge=0, le=1000)] = DEFAULT_PRIORITY
    effective_at: Time | None = None
    expires_at: Time | None = None
    reason: Text | None = None
    external_ref: Id | None = None
    paid: PaidBody | None = None
    metadata: Metadata | None = None


class GrantAnswer(BaseModel):
    """The grant; `scheduled` until `effective_at`."""

    grant_id: str
    amount: int
    status: Literal["live", "scheduled"]
    effective_at: datetime
    expires_at: datetime | None
    position: str


class VoidBody(Body):
    """Nothing is needed."""

    reason: Text | None = None
    metadata: Metadata | None = None


class VoidAnswer(BaseModel):
    """`voided`: what was free of the grant, 0 where nothing was. What comes back to it later is voided then."""

    grant_id: str
    voided: int
    position: str


_GRANT = """
    select source, priority, expires_at, granted_at from read.grants
    where org = %(org)s and address = %(address)s and id = %(id)s"""


async def _known(call: Call, _body: VoidBody) -> Call:
    """The call with the terms of its grant: from the account while some of it is left, else from the read model.

    The read model must have seen all that the account has, or a grant that was spent just now would be unknown.
    Raises Problem (503).
    """
    account, now = await account_now(call.services, call.org, call.address)
    part = part_of(account, call.id)
    if part is None and call.id not in account.voided_grants:
        await seen(call, format_position(now.position))
        row = await call.services.row(_GRANT, {"org": call.org, "address": call.address, "id": call.id})
        if row is not None:
            terms = (row["source"], row["priority"], row["expires_at"], row["granted_at"])
            part = Slice(call.id, 0, *terms)
    return replace(call, found=Found(grant=part))


@command(
    "POST /api/v1/accounts/{address}/grants",
    May.MANAGE_CREDITS,
    GrantAnswer,
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
        paid=Paid(micros(body.paid.amount), body.paid.currency) if body.paid else None,
        sealed=sealed,
    )


@command("POST /api/v1/accounts/{address}/grants/{id}/void", May.MANAGE_CREDITS, VoidAnswer, look=_known)
def void_grant(call: Call, _body: VoidBody, sealed: str | None) -> Any:
    """Take back what is left of a grant."""
    return VoidGrant(address=call.address, grant_id=call.id, sealed=sealed, known=call.found.grant)
